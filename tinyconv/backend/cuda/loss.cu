// Softmax and cross-entropy of rows of logits; `loss.py` launches these. A warp takes a row.

struct Loss {
    const T* logits; const int64* target; T* loss; T* probabilities; int64 rows; int classes;
};

extern "C" __global__ void softmax_cross_entropy(const Loss a) {
    int lane = threadIdx.x & 31;
    int64 stride = int64(gridDim.x) * (blockDim.x >> 5);
    for (int64 row = int64(blockIdx.x) * (blockDim.x >> 5) + (threadIdx.x >> 5); row < a.rows;
         row += stride) {
        const T* x = a.logits + row * a.classes;
        T* p = a.probabilities + row * a.classes;
        float most = -INFINITE, sum = 0;
        for (int k = lane; k < a.classes; k += 32) most = Max()(most, to_float(x[k]));
        most = reduce_warp(most, Max());
        for (int k = lane; k < a.classes; k += 32) sum += expf(to_float(x[k]) - most);
        sum = reduce_warp(sum, Add());
        for (int k = lane; k < a.classes; k += 32)
            p[k] = from_float<T>(expf(to_float(x[k]) - most) / sum);
        if (lane == 0) {
            int64 target = a.target[row];  // negative: the row is ignored
            float loss = 0;
            if (target >= a.classes)
                loss = INFINITE - INFINITE;  // no class: NaN
            else if (target >= 0)
                loss = logf(sum) - (to_float(x[target]) - most);
            a.loss[row] = from_float<T>(loss);
        }
    }
}

struct LossGrad {
    const T* probabilities; const int64* target; const T* g; T* out; int64 rows; int classes;
};

// g[0] is the gradient of all losses where STEP is 0, else each row has its own.
extern "C" __global__ void softmax_cross_entropy_grad(const LossGrad a) {
    int64 count = a.rows * a.classes, stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
        int64 row = i / a.classes, target = a.target[row];
        int k = int(i - row * a.classes);
        float hit = k == target ? 1.0f : 0.0f;
        float dx = (to_float(a.probabilities[i]) - hit) * to_float(a.g[row * STEP]);
        a.out[i] = from_float<T>(target < 0 ? 0.0f : dx);
    }
}
