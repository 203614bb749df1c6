// Add up the slices of a product, in their order, and write the result. `products.py` launches this.

struct Slices {
    const float* part;  // (stack, slices, length)
    const T* bias;      // `columns` numbers for each of the stack, or null
    T* y;               // (stack, length)
    int64 stack, length, bias_step;
    int slices, columns;
    float low, high;
};

extern "C" __global__ void add_slices(const Slices a) {
    int64 stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < a.stack * a.length; i += stride) {
        int64 which = i / a.length, at = i % a.length;
        const float* part = a.part + which * a.slices * a.length + at;
        float sum = 0;
        for (int s = 0; s < a.slices; ++s) sum += part[s * a.length];
        if (a.bias) sum += to_float(a.bias[which * a.bias_step + at % a.columns]);
        a.y[i] = from_float<T>(sum <= a.low ? a.low : sum >= a.high ? a.high : sum);
    }
}
