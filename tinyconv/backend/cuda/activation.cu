// Activations of straight pieces and their gradients; `activation.py` launches these.
// One thread takes 16 bytes at a time; T is the dtype. NaN is no number `<= 0`, so it stays NaN.

struct Map { const T* x; const T* y; T* out; int64 count; float low, high; };

constexpr int WIDTH = Lanes<T>::count;

// Apply `f(x, y)` to all elements. y may be null: then f sees x twice.
template <class F> __device__ inline void map(const Map& a, F f) {
    const T* second = a.y ? a.y : a.x;
    int64 stride = int64(gridDim.x) * blockDim.x;
    int64 first = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    int64 packs = a.count / WIDTH;
    for (int64 i = first; i < packs; i += stride) {
        Pack<T, WIDTH> x = reinterpret_cast<const Pack<T, WIDTH>*>(a.x)[i];
        Pack<T, WIDTH> y = reinterpret_cast<const Pack<T, WIDTH>*>(second)[i], out;
#pragma unroll
        for (int k = 0; k < WIDTH; ++k)
            out.at[k] = from_float<T>(f(to_float(x.at[k]), to_float(y.at[k])));
        reinterpret_cast<Pack<T, WIDTH>*>(a.out)[i] = out;
    }
    for (int64 i = packs * WIDTH + first; i < a.count; i += stride)
        a.out[i] = from_float<T>(f(to_float(a.x[i]), to_float(second[i])));
}

extern "C" __global__ void relu(const Map a) {
    map(a, [](float x, float) { return x <= 0 ? 0.0f : x; });
}

extern "C" __global__ void relu_grad(const Map a) {
    map(a, [](float dy, float y) { return y <= 0 ? 0.0f : dy; });
}

extern "C" __global__ void hardtanh(const Map a) {
    map(a, [&](float x, float) { return x <= a.low ? a.low : x >= a.high ? a.high : x; });
}

extern "C" __global__ void hardtanh_grad(const Map a) {
    map(a, [&](float dy, float y) { return y <= a.low || y >= a.high ? 0.0f : dy; });
}

extern "C" __global__ void leaky_relu(const Map a) {
    map(a, [&](float x, float) { return x > 0 ? x : x * a.low; });
}

extern "C" __global__ void leaky_relu_grad(const Map a) {
    map(a, [&](float dy, float x) { return x > 0 ? dy : dy * a.low; });
}
