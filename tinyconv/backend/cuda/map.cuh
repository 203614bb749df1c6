// A function of each element of one or two arrays in the same order of memory, 16 bytes at a time.

struct Map { const T* x; const T* y; T* out; int64 count; float low, high; };

constexpr int WIDTH = Lanes<T>::count;

// Write `f(x, y)` of all elements. y may be null: then f sees x twice.
template <class F> __device__ inline void map(const Map& a, F f) {
    typedef Pack<T, WIDTH> Line;
    const T* second = a.y ? a.y : a.x;
    int64 stride = int64(gridDim.x) * blockDim.x;
    int64 first = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    int64 lines = a.count / WIDTH;
    for (int64 i = first; i < lines; i += stride) {
        Line x = reinterpret_cast<const Line*>(a.x)[i];
        Line y = reinterpret_cast<const Line*>(second)[i], out;
#pragma unroll
        for (int k = 0; k < WIDTH; ++k)
            out.at[k] = from_float<T>(f(to_float(x.at[k]), to_float(y.at[k])));
        reinterpret_cast<Line*>(a.out)[i] = out;
    }
    for (int64 i = lines * WIDTH + first; i < a.count; i += stride)
        a.out[i] = from_float<T>(f(to_float(a.x[i]), to_float(second[i])));
}
