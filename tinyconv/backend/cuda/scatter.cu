// Sums, products and extremes of rows that are sorted by where they go, and which of them came last;
// `scatter.py` launches these.
//
// Rows of one index lie side by side. The thread at the first of them takes them all, in their order,
// so that results are the same every time: no atomics.

struct Scatter {
    const int64* index; const int64* order; const T* source; T* out;
    int64 rows, size; int columns;
};

struct Multiply {
    __device__ float operator()(float a, float b) const { return a * b; }
};
struct Min {  // NaN wins
    __device__ float operator()(float a, float b) const { return a < b || a != a ? a : b; }
};

// What a result starts from, the first of its rows: a sum is never -0.
template <class Op> __device__ inline float start(float first, Op) { return first; }
__device__ inline float start(float first, Add) { return 0.0f + first; }

template <class Op> __device__ inline void scatter(const Scatter& a, Op op) {
    int64 count = a.rows * a.columns, stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
        int64 first = i / a.columns, index = a.index[first];
        int column = int(i - first * a.columns);
        if (uint64(index) >= uint64(a.size)) continue;  // where there is nothing
        if (first && a.index[first - 1] == index) continue;
        float whole = start(to_float(a.source[a.order[first] * a.columns + column]), op);
        for (int64 row = first + 1; row < a.rows && a.index[row] == index; ++row)
            whole = op(whole, to_float(a.source[a.order[row] * a.columns + column]));
        a.out[index * a.columns + column] = from_float<T>(whole);
    }
}

extern "C" __global__ void scatter_add(const Scatter a) { scatter(a, Add()); }
extern "C" __global__ void scatter_prod(const Scatter a) { scatter(a, Multiply()); }
extern "C" __global__ void scatter_amax(const Scatter a) { scatter(a, Max()); }
extern "C" __global__ void scatter_amin(const Scatter a) { scatter(a, Min()); }

// ---- which row came last -------------------------------------------------------------------------

struct Last { const int64* index; int64* out; int64 rows, size; };

// `out` holds -1. The largest of some integers is the same in whatever order they come.
extern "C" __global__ void scatter_last(const Last a) {
    int64 stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < a.rows; i += stride)
        if (uint64(a.index[i]) < uint64(a.size)) atomicMax(a.out + a.index[i], i);
}
