// Softmax, its logarithm, and their gradients along the middle axis of (outer, size, inner).
//
// inner == 1: numbers of a row lie side by side. A group of THREADS lanes (a warp, or a block) takes
// a row and adds in a fixed order. Otherwise rows lie side by side: a thread takes one, and its
// neighbours read what lies beside its numbers.

struct Rows { const T* x; const T* y; T* out; int64 outer, inner; int size; };

// Where a row starts, which of its elements this thread takes, and how the threads of a row meet.
struct Row {
    int64 base, step;
    int first, stride, size;
    bool alone;

    __device__ int64 at(int k) const { return base + k * step; }

    template <class Op> __device__ float combine(float x, Op op, float none) const {
        if (alone) return x;
        return THREADS == 32 ? reduce_warp(x, op) : reduce_block(x, op, none);
    }
};

// Call `f` for all rows of this thread. Threads that share a row make the same calls.
template <class F> __device__ inline void for_rows(const Rows& a, F f) {
    if (a.inner == 1) {
        int of_block = blockDim.x / THREADS;
        int64 stride = int64(gridDim.x) * of_block;
        for (int64 row = int64(blockIdx.x) * of_block + threadIdx.x / THREADS; row < a.outer;
             row += stride)
            f(Row{row * a.size, 1, int(threadIdx.x % THREADS), THREADS, a.size, false});
    } else {
        int64 rows = a.outer * a.inner, stride = int64(gridDim.x) * blockDim.x;
        for (int64 row = int64(blockIdx.x) * blockDim.x + threadIdx.x; row < rows; row += stride) {
            int64 outer = row / a.inner, inner = row - outer * a.inner;
            f(Row{outer * a.size * a.inner + inner, a.inner, 0, 1, a.size, true});
        }
    }
}

__device__ inline float largest(const Rows& a, const Row& row) {
    float most = -INFINITE;
    for (int k = row.first; k < row.size; k += row.stride)
        most = Max()(most, to_float(a.x[row.at(k)]));
    return row.combine(most, Max(), -INFINITE);
}

__device__ inline float sum_of_powers(const Rows& a, const Row& row, float most) {
    float sum = 0;
    for (int k = row.first; k < row.size; k += row.stride)
        sum += expf(to_float(a.x[row.at(k)]) - most);
    return row.combine(sum, Add(), 0.0f);
}

extern "C" __global__ void softmax(const Rows a) {
    for_rows(a, [&](const Row& row) {
        float most = largest(a, row), sum = sum_of_powers(a, row, most);
        for (int k = row.first; k < row.size; k += row.stride)
            a.out[row.at(k)] = from_float<T>(expf(to_float(a.x[row.at(k)]) - most) / sum);
    });
}

extern "C" __global__ void log_softmax(const Rows a) {
    for_rows(a, [&](const Row& row) {
        float most = largest(a, row), log_sum = logf(sum_of_powers(a, row, most));
        for (int k = row.first; k < row.size; k += row.stride)
            a.out[row.at(k)] = from_float<T>(to_float(a.x[row.at(k)]) - most - log_sum);
    });
}

// x is the gradient, y the result of softmax.
extern "C" __global__ void softmax_grad(const Rows a) {
    for_rows(a, [&](const Row& row) {
        float sum = 0;
        for (int k = row.first; k < row.size; k += row.stride)
            sum += to_float(a.x[row.at(k)]) * to_float(a.y[row.at(k)]);
        sum = row.combine(sum, Add(), 0.0f);
        for (int k = row.first; k < row.size; k += row.stride) {
            float y = to_float(a.y[row.at(k)]);
            a.out[row.at(k)] = from_float<T>(to_float(a.x[row.at(k)]) * y - y * sum);
        }
    });
}

// x is the gradient, y the result of log_softmax.
extern "C" __global__ void log_softmax_grad(const Rows a) {
    for_rows(a, [&](const Row& row) {
        float sum = 0;
        for (int k = row.first; k < row.size; k += row.stride) sum += to_float(a.x[row.at(k)]);
        sum = row.combine(sum, Add(), 0.0f);
        for (int k = row.first; k < row.size; k += row.stride)
            a.out[row.at(k)] =
                from_float<T>(to_float(a.x[row.at(k)]) - expf(to_float(a.y[row.at(k)])) * sum);
    });
}
