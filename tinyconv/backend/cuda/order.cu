// The largest, or smallest, element so far along lines, and its place; `order.py` launches these.
// Elements of type T compare as numbers of type V.

struct Lines {
    const T* x;  // (outer, size, inner), as are the results
    T* values;
    int64* places;
    int64 outer, size, inner;
    int largest;
};

struct Best { V value; int64 place; };  // a place below 0: none so far

template <class X> __device__ inline V comparable(X x) { return x; }
__device__ inline V comparable(bf16 x) { return to_float(x); }
__device__ inline V comparable(f16 x) { return to_float(x); }

// Return which of two stands for both; b is the later one. NaN wins, and no number beats it.
__device__ inline Best better(const Best& a, const Best& b, int largest) {
    bool beats = largest ? b.value >= a.value : b.value <= a.value;
    return a.place < 0 || b.value != b.value || beats ? b : a;
}

// A thread walks along a line; those beside it are beside it in memory, too.
extern "C" __global__ void extremes_of_columns(const Lines a) {
    int64 stride = int64(gridDim.x) * blockDim.x, lines = a.outer * a.inner;
    for (int64 line = int64(blockIdx.x) * blockDim.x + threadIdx.x; line < lines; line += stride) {
        int64 at = line / a.inner * a.size * a.inner + line % a.inner;
        Best best = {V(), -1};
        T value = a.x[at];
#pragma unroll 4
        for (int64 i = 0; i < a.size; ++i, at += a.inner) {
            T x = a.x[at];
            best = better(best, {comparable(x), i}, a.largest);
            if (best.place == i) value = x;
            a.values[at] = value, a.places[at] = best.place;
        }
    }
}

// A block walks along a line, as many elements at a time as it has threads: warps find the best up
// to each of their lanes, and then each takes in those before it.
extern "C" __global__ void __launch_bounds__(256) extremes_of_rows(const Lines a) {
    __shared__ Best of_warp[8];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    for (int64 line = blockIdx.x; line < a.outer; line += gridDim.x) {
        const T* x = a.x + line * a.size;
        Best before = {V(), -1};
        for (int64 start = 0; start < a.size; start += blockDim.x) {
            int64 i = start + threadIdx.x;
            Best best = {comparable(x[i < a.size ? i : 0]), i}, own = best;
#pragma unroll
            for (int distance = 1; distance < 32; distance *= 2) {
                int from = lane - distance;
                Best left = {shuffle(best.value, from), shuffle(best.place, from)};
                if (from >= 0) best = better(left, best, a.largest);
            }
            __syncthreads();  // what was here before has been read
            if (lane == 31) of_warp[warp] = best;
            __syncthreads();
            for (int w = 0; w < warps; ++w) {
                if (w == warp) own = better(before, best, a.largest);
                before = better(before, of_warp[w], a.largest);
            }
            if (i >= a.size) continue;
            a.values[line * a.size + i] = x[own.place], a.places[line * a.size + i] = own.place;
        }
    }
}
