// One step of an optimizer for many parameters in one launch; `optim.py` launches these.
//
// The struct is a table of parameters. Each is cut into pieces of PIECE elements, a block takes one
// piece, and `first[t]` is the number of the first block of parameter t. Formulas are those of
// `backend/reference/optim.py`.

constexpr int MOST = 64;  // as in optim.py

struct Update {
    const float* live;   // where the numbers are if not below: see graphs.py
    const float* found;  // if not null, anything but 0 there means that nothing is to change
    T* param[MOST];
    const T* grad[MOST];
    T* a[MOST];  // what the optimizer remembers of each parameter; null where it does not
    T* b[MOST];
    T* c[MOST];
    int64 size[MOST];
    int first[MOST];
    int count;
    float numbers[10];

    __device__ float number(int k) const { return live ? live[k] : numbers[k]; }
};

// Call `f(t, i)` for each element i of this block's piece of parameter t.
template <class F> __device__ inline void update(const Update& u, F f) {
    if (u.found && *u.found != 0) return;
    int block = int(blockIdx.x), t = 0;
    for (int half = 32; half > 0; half >>= 1)
        if (t + half < u.count && u.first[t + half] <= block) t += half;
    int64 begin = int64(block - u.first[t]) * PIECE, end = begin + PIECE;
    if (end > u.size[t]) end = u.size[t];
#pragma unroll 4
    for (int64 i = begin + threadIdx.x; i < end; i += blockDim.x) f(t, i);
}

// The gradient to go down, of the loss with its penalty.
__device__ inline float wanted(const Update& u, int t, int64 i, float param, float sign, float decay) {
    return sign * to_float(u.grad[t][i]) + decay * param;
}

// ---- steps that the device counts ---------------------------------------------------------------
//
// The numbers of such a step depend on how many there were: one thread computes them beforehand.

enum Rule { AS_THEY_ARE, SGD, ADAM, ADAGRAD };

struct Prepare {
    const double* live; const float* found; int64* steps; float* out;
    int rule;
    double numbers[10];

    __device__ double number(int k) const { return live ? live[k] : numbers[k]; }
};

extern "C" __global__ void prepare(const Prepare a) {
    if (*a.found != 0) return;
    double step = double(*a.steps += 1);
#pragma unroll
    for (int k = 0; k < 10; ++k) a.out[k] = float(a.number(k));
    if (a.rule == SGD && step == 1) a.out[2] = 1;  // the first velocity is the whole gradient
    if (a.rule == ADAM) {
        a.out[0] = float(a.number(0) / (1 - pow(a.number(9), step)));
        a.out[4] = float(1 / sqrt(1 - pow(a.number(1), step)));
    }
    if (a.rule == ADAGRAD) a.out[0] = float(a.number(0) / (1 + (step - 1) * a.number(4)));
}

// ---- the steps ----------------------------------------------------------------------------------

// numbers: lr, momentum, 1 - dampening, decay, nesterov, sign
extern "C" __global__ void sgd(const Update u) {
    float lr = u.number(0), momentum = u.number(1), share = u.number(2), decay = u.number(3);
    float nesterov = u.number(4), sign = u.number(5);
    update(u, [&](int t, int64 i) {
        float param = to_float(u.param[t][i]);
        float step = wanted(u, t, i, param, sign, decay);
        if (u.a[t]) {
            float velocity = momentum * to_float(u.a[t][i]) + share * step;
            u.a[t][i] = from_float<T>(velocity);
            step = nesterov != 0 ? step + momentum * velocity : velocity;
        }
        u.param[t][i] = from_float<T>(param - lr * step);
    });
}

// numbers: lr / (1 - beta1^step), beta2, 1 - beta1, 1 - beta2, 1 / sqrt(1 - beta2^step), eps, decay,
//          shrink (what the parameter is multiplied by first), sign; beta1 for `prepare`, which has
//          lr and nothing instead of the first and the fifth
extern "C" __global__ void adam(const Update u) {
    float lr = u.number(0), beta2 = u.number(1), share1 = u.number(2), share2 = u.number(3);
    float root = u.number(4), eps = u.number(5), decay = u.number(6);
    float shrink = u.number(7), sign = u.number(8);
    update(u, [&](int t, int64 i) {
        float param = to_float(u.param[t][i]) * shrink;
        float grad = wanted(u, t, i, param, sign, decay);
        float mean = to_float(u.a[t][i]);
        mean += share1 * (grad - mean);
        float square = beta2 * to_float(u.b[t][i]) + share2 * (grad * grad);
        u.a[t][i] = from_float<T>(mean), u.b[t][i] = from_float<T>(square);
        if (u.c[t]) {
            square = Max()(to_float(u.c[t][i]), square);
            u.c[t][i] = from_float<T>(square);
        }
        u.param[t][i] = from_float<T>(param - lr * (mean / (sqrtf(square) * root + eps)));
    });
}

// numbers: lr, alpha, 1 - alpha, eps, decay, momentum, sign
extern "C" __global__ void rmsprop(const Update u) {
    float lr = u.number(0), alpha = u.number(1), share = u.number(2), eps = u.number(3);
    float decay = u.number(4), momentum = u.number(5), sign = u.number(6);
    update(u, [&](int t, int64 i) {
        float param = to_float(u.param[t][i]);
        float grad = wanted(u, t, i, param, sign, decay);
        float square = alpha * to_float(u.a[t][i]) + share * (grad * grad), variance = square;
        u.a[t][i] = from_float<T>(square);
        if (u.b[t]) {
            float mean = to_float(u.b[t][i]);
            mean += share * (grad - mean);
            u.b[t][i] = from_float<T>(mean);
            variance = square - mean * mean;
        }
        float step = grad / (sqrtf(variance) + eps);
        if (u.c[t]) {
            step += momentum * to_float(u.c[t][i]);
            u.c[t][i] = from_float<T>(step);
        }
        u.param[t][i] = from_float<T>(param - lr * step);
    });
}

// numbers: lr, eps, decay, sign; what lr shrinks by at each step for `prepare`
extern "C" __global__ void adagrad(const Update u) {
    float lr = u.number(0), eps = u.number(1), decay = u.number(2), sign = u.number(3);
    update(u, [&](int t, int64 i) {
        float param = to_float(u.param[t][i]);
        float grad = wanted(u, t, i, param, sign, decay);
        float total = to_float(u.a[t][i]) + grad * grad;
        u.a[t][i] = from_float<T>(total);
        u.param[t][i] = from_float<T>(param - lr * (grad / (sqrtf(total) + eps)));
    });
}

// numbers: lr, rho, 1 - rho, eps, decay, sign
extern "C" __global__ void adadelta(const Update u) {
    float lr = u.number(0), rho = u.number(1), share = u.number(2), eps = u.number(3);
    float decay = u.number(4), sign = u.number(5);
    update(u, [&](int t, int64 i) {
        float param = to_float(u.param[t][i]);
        float grad = wanted(u, t, i, param, sign, decay);
        float square = rho * to_float(u.a[t][i]) + share * (grad * grad);
        float step_square = to_float(u.b[t][i]);
        float step = sqrtf(step_square + eps) / sqrtf(square + eps) * grad;
        u.a[t][i] = from_float<T>(square);
        u.b[t][i] = from_float<T>(rho * step_square + share * (step * step));
        u.param[t][i] = from_float<T>(param - lr * step);
    });
}
