// Resampling along one axis; `resampling.py` launches this.
//
// Memory is (outer, size, inner) and becomes (outer, outputs, inner): each run of `inner` adjacent
// numbers is a weighted sum of a few such runs. A thread makes WIDTH numbers of a run; blockIdx.y
// takes the outer indices, and 31 bits number what one of them has.

struct Resampling {
    const T* x;
    const int64* starts;  // [outputs + 1]
    const int64* places;  // [terms]
    const T* factors;
    T* y;
    int64 outer, inner;
    int size, vectors, across;  // across: vectors of a run; vectors: of an outer index
};

typedef Pack<T, WIDTH> Vector;

extern "C" __global__ void __launch_bounds__(256) resample(const Resampling a) {
    for (int64 n = blockIdx.y; n < a.outer; n += gridDim.y)
        for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < a.vectors;
             i += gridDim.x * blockDim.x) {
            int output = i / a.across;
            const T* x = a.x + n * a.size * a.inner + int64(i % a.across) * WIDTH;
            float sums[WIDTH] = {};
            int64 end = a.starts[output + 1];
            for (int64 term = a.starts[output]; term < end; ++term) {
                Vector v = *reinterpret_cast<const Vector*>(x + a.places[term] * a.inner);
                float factor = to_float(a.factors[term]);
#pragma unroll
                for (int w = 0; w < WIDTH; ++w) sums[w] = fmaf(factor, to_float(v.at[w]), sums[w]);
            }
            Vector y;
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) y.at[w] = from_float<T>(sums[w]);
            reinterpret_cast<Vector*>(a.y)[n * a.vectors + i] = y;
        }
}
