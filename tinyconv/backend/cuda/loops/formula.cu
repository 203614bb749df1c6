// A formula of each element of some arrays; `elementwise.py` launches this, and FORMULA is what
// `formulas.py` has made of a Python function. It says `x` for the elements of ARRAYS arrays, `s`
// for those of SINGLES arrays of one element, and `a.numbers`.

struct Formula {
    const T* arrays[4];
    const T* singles[4];
    T* out;
    int64 count;
    float numbers[16];
};

__device__ inline float larger(float a, float b) { return a >= b || a != a ? a : b; }  // NaN wins
__device__ inline float smaller(float a, float b) { return a <= b || a != a ? a : b; }

// Squares and cubes are so common that they are worth a look.
__device__ inline float power(float x, float n) {
    return n == 2 ? x * x : n == 3 ? x * x * x : powf(x, n);
}

extern "C" __global__ void __launch_bounds__(256) formula(const Formula a) {
    float s[SINGLES + 1];
#pragma unroll
    for (int k = 0; k < SINGLES; ++k) s[k] = to_float(*a.singles[k]);
    map_all<ARRAYS>(a.arrays, a.out, a.count, [&](const float* x) -> float { FORMULA });
}
