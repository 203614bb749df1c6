// Activations of straight pieces and their gradients; `activation.py` launches these.
// Every comparison is written so that NaN stays NaN: it is no number `<= 0`.

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
