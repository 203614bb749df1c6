// Softmax and cross-entropy of rows of logits; `loss.py` launches these. `lanes` neighbours in a
// warp, a power of two, share a row.

// Write the probabilities of a row and return its loss, which is 0 if the target is negative. All
// lanes of a warp call it; one that has no row gives no classes.
__device__ inline float loss_of_row(const T* x, T* p, int classes, int64 target, int lanes) {
    int lane = threadIdx.x & (lanes - 1);
    float most = -INFINITE, sum = 0;
    for (int k = lane; k < classes; k += lanes) most = Max()(most, to_float(x[k]));
    most = reduce_warp(most, Max(), lanes);
    for (int k = lane; k < classes; k += lanes) sum += expf(to_float(x[k]) - most);
    sum = reduce_warp(sum, Add(), lanes);
    for (int k = lane; k < classes; k += lanes)
        p[k] = from_float<T>(expf(to_float(x[k]) - most) / sum);
    if (target < 0) return 0;
    if (target >= classes) return INFINITE - INFINITE;  // no class: NaN
    return logf(sum) - (to_float(x[target]) - most);
}

// Call `f(row, whether there is such a row, whether this thread is the first of it)`, equally often
// in all threads of a block.
template <class F> __device__ inline void for_rows(int64 rows, int lanes, F f) {
    int of_block = blockDim.x / lanes, own = threadIdx.x / lanes;
    for (int64 first = int64(blockIdx.x) * of_block; first < rows;
         first += int64(gridDim.x) * of_block)
        f(first + own, first + own < rows, (threadIdx.x & (lanes - 1)) == 0);
}

struct Loss {
    const T* logits; const int64* target; T* loss; T* probabilities;
    int64 rows; int classes, lanes;
};

extern "C" __global__ void softmax_cross_entropy(const Loss a) {
    for_rows(a.rows, a.lanes, [&](int64 row, bool exists, bool first) {
        int64 at = row * a.classes;
        float loss = loss_of_row(a.logits + at, a.probabilities + at, exists ? a.classes : 0,
                                 exists ? a.target[row] : -1, a.lanes);
        if (exists && first) a.loss[row] = from_float<T>(loss);
    });
}

// ---- the mean of the losses of labels, or their sum ---------------------------------------------

struct MeanLoss {
    const T* logits; const int64* labels; T* probabilities; int64* target;
    double* parts;  // [blocks][2]: losses, and how many rows take part
    T* loss; int64* count;
    int64 rows, ignored;
    int classes, lanes, mean, blocks;
};

// Put together what the threads of a block have, and write its part, or the results if it is the
// only one. A label that is no class has made the count minus infinity.
__device__ inline void add_up(const MeanLoss& a, double loss, double count) {
    loss = reduce_block(loss, Add(), 0.0), count = reduce_block(count, Add(), 0.0);
    if (threadIdx.x != 0) return;
    if (gridDim.x > 1) {
        a.parts[2 * blockIdx.x] = loss, a.parts[2 * blockIdx.x + 1] = count;
    } else if (count < 0) {
        *a.loss = from_float<T>(INFINITE - INFINITE), *a.count = -1;
    } else {
        *a.loss = from_float<T>(float(a.mean ? loss / count : loss)), *a.count = int64(count);
    }
}

extern "C" __global__ void mean_cross_entropy(const MeanLoss a) {
    double loss = 0, count = 0;
    for_rows(a.rows, a.lanes, [&](int64 row, bool exists, bool first) {
        int64 at = row * a.classes, label = exists ? a.labels[row] : a.ignored;
        bool takes_part = label != a.ignored, is_class = label >= 0 && label < a.classes;
        int64 target = takes_part && is_class ? label : -1;
        float own = loss_of_row(a.logits + at, a.probabilities + at, exists ? a.classes : 0,
                                target, a.lanes);
        if (!exists || !first) return;
        a.target[row] = target;
        loss += own;
        if (takes_part) count += is_class ? 1 : -INFINITE;
    });
    add_up(a, loss, count);
}

// Put the parts of the blocks together, in a single block.
extern "C" __global__ void merge_losses(const MeanLoss a) {
    double loss = 0, count = 0;
    for (int i = threadIdx.x; i < a.blocks; i += blockDim.x)
        loss += a.parts[2 * i], count += a.parts[2 * i + 1];
    add_up(a, loss, count);
}

// ---- the gradient -------------------------------------------------------------------------------

struct LossGrad {
    const T* probabilities; const int64* target; const T* g;
    const int64* count;  // of the rows of a mean, or null
    T* out; int64 rows; int classes;
};

// g[0] is the gradient of all losses where STEP is 0, else each row has its own.
extern "C" __global__ void softmax_cross_entropy_grad(const LossGrad a) {
    float divisor = a.count ? float(*a.count) : 1.0f;
    if (divisor < 0) divisor = INFINITE - INFINITE;  // the mean is NaN
    int64 count = a.rows * a.classes, stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
        int64 row = i / a.classes, target = a.target[row];
        int k = int(i - row * a.classes);
        float hit = k == target ? 1.0f : 0.0f;
        float dx = (to_float(a.probabilities[i]) - hit) * (to_float(a.g[row * STEP]) / divisor);
        a.out[i] = from_float<T>(target < 0 ? 0.0f : dx);
    }
}
