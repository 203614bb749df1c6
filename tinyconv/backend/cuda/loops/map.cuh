// A function of each element of arrays in the same order of memory, 16 bytes at a time.

struct Map { const T* x; const T* y; T* out; int64 count; float low, high; };

constexpr int WIDTH = Lanes<T>::count;

// Write `f` of the elements of N arrays at each place.
template <int N, class F>
__device__ inline void map_all(const T* const* arrays, T* out, int64 count, F f) {
    typedef Pack<T, WIDTH> Line;
    int64 stride = int64(gridDim.x) * blockDim.x;
    int64 first = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    int64 lines = count / WIDTH;
    float x[N];
    for (int64 i = first; i < lines; i += stride) {
        Line line[N], result;
#pragma unroll
        for (int n = 0; n < N; ++n) line[n] = reinterpret_cast<const Line*>(arrays[n])[i];
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) {
#pragma unroll
            for (int n = 0; n < N; ++n) x[n] = to_float(line[n].at[k]);
            result.at[k] = from_float<T>(f(x));
        }
        reinterpret_cast<Line*>(out)[i] = result;
    }
    for (int64 i = lines * WIDTH + first; i < count; i += stride) {
#pragma unroll
        for (int n = 0; n < N; ++n) x[n] = to_float(arrays[n][i]);
        out[i] = from_float<T>(f(x));
    }
}

// Write `f(x, y)` of all elements. y may be null: then f sees x twice.
template <class F> __device__ inline void map(const Map& a, F f) {
    const T* arrays[] = {a.x, a.y ? a.y : a.x};
    map_all<2>(arrays, a.out, a.count, [&](const float* x) { return f(x[0], x[1]); });
}
