// Smooth activations and their gradients, formulas as in `backend/reference/smooth.py`.

__device__ inline float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

// The distribution function of the standard normal distribution. The complement of the error
// function keeps its digits where the result is tiny.
__device__ inline float normal_cdf(float x) { return 0.5f * erfcf(x * -0.70710678118654752f); }

extern "C" __global__ void sigmoid(const Map a) {
    map(a, [](float x, float) { return logistic(x); });
}

extern "C" __global__ void silu(const Map a) {
    map(a, [](float x, float) { return x * logistic(x); });
}

extern "C" __global__ void silu_grad(const Map a) {
    map(a, [](float dy, float x) {
        float s = logistic(x);
        return dy * (s * (x * (1.0f - s) + 1.0f));
    });
}

extern "C" __global__ void gelu(const Map a) {
    map(a, [](float x, float) { return x * normal_cdf(x); });
}

extern "C" __global__ void gelu_grad(const Map a) {
    map(a, [](float dy, float x) {
        float density = expf(x * x * -0.5f) * 0.39894228040143268f;
        return dy * (normal_cdf(x) + x * density);
    });
}

extern "C" __global__ void erf_of(const Map a) {
    map(a, [](float x, float) { return erff(x); });
}

extern "C" __global__ void erfinv_of(const Map a) {
    map(a, [](float x, float) { return erfinvf(x); });
}
