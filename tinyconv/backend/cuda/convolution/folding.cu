// Weights and bias of a convolution with a normalisation by constants after it. `folding.py` launches
// this, a block for each channel of the result.

struct Fold {
    const T* w;          // [channels][reads][taps]
    const T* bias;       // [channels], or null
    const void* mean;    // [channels], as var: float or double
    const void* var;
    const void* weight;  // [channels], as shift: T or float, or null
    const void* shift;
    T* to;               // [channels][taps][reads]
    T* offset;           // [channels]
    int reads, taps;
    int mean_is_float, var_is_float, weight_is_float, shift_is_float;
    double eps;
};

// This block's number of a vector.
__device__ inline double statistic(const void* vector, int is_float) {
    return is_float ? static_cast<const float*>(vector)[blockIdx.x]
                    : static_cast<const double*>(vector)[blockIdx.x];
}
__device__ inline double parameter(const void* vector, int is_float, float otherwise) {
    if (!vector) return otherwise;
    return is_float ? static_cast<const float*>(vector)[blockIdx.x]
                    : to_float(static_cast<const T*>(vector)[blockIdx.x]);
}

extern "C" __global__ void fold(const Fold a) {
    double factor = parameter(a.weight, a.weight_is_float, 1) /
                    sqrt(statistic(a.var, a.var_is_float) + a.eps);
    float scale = float(factor);
    int columns = a.reads * a.taps;
    int64 first = int64(blockIdx.x) * columns;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) {
        int read = i / a.taps, tap = i - read * a.taps;
        a.to[first + tap * a.reads + read] = from_float<T>(to_float(a.w[first + i]) * scale);
    }
    if (threadIdx.x != 0) return;
    double offset = a.bias ? double(to_float(a.bias[blockIdx.x])) : 0.0;
    offset = (offset - statistic(a.mean, a.mean_is_float)) * factor;
    a.offset[blockIdx.x] = from_float<T>(float(offset + parameter(a.shift, a.shift_is_float, 0)));
}
