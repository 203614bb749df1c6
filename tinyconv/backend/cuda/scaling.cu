// Gradients divided by the scale of the loss, the next scale, and their norm; `scaling.py` launches
// these. `out` is {whether one was not finite, 1 / scale}.

struct Begin { const float* scale; float* out; };

extern "C" __global__ void begin(const Begin a) {
    a.out[0] = 0, a.out[1] = float(1.0 / double(*a.scale));
}

struct Unscale { Lists lists; float* out; };

extern "C" __global__ void unscale(const Unscale a) {
    float inverse = a.out[1];
    bool finite = true;
    each(a.lists, [&](T& x) {
        x = from_float<T>(to_float(x) * inverse);
        finite = finite && fabsf(to_float(x)) < INFINITE;
    });
    if (!finite) a.out[0] = 1;  // of however many threads: all write the same
}

struct NextScale {
    float* scale; int64* tracker; const float* found;
    int64 interval; float growth, backoff;
};

extern "C" __global__ void next_scale(const NextScale a) {
    if (*a.found != 0) {
        *a.scale *= a.backoff, *a.tracker = 0;
        return;
    }
    int64 steps = *a.tracker + 1;
    if (steps == a.interval) {
        float larger = *a.scale * a.growth;
        if (larger < INFINITE) *a.scale = larger;
        steps = 0;
    }
    *a.tracker = steps;
}

// ---- the norm of all elements of all arrays -----------------------------------------------------

enum Order { SUM, SQUARES, LARGEST };

struct Norm { Lists lists; double* partial; int order; };

// One number a block. Squares of float32 fit into float64: nothing overflows on the way.
extern "C" __global__ void partial_norm(const Norm a) {
    double part = 0;
    each(a.lists, [&](T& x) {
        double size = fabs(double(to_float(x)));
        part = a.order == LARGEST ? Max()(size, part) : part + (a.order == SUM ? size : size * size);
    });
    part = a.order == LARGEST ? reduce_block(part, Max(), 0.0) : reduce_block(part, Add(), 0.0);
    if (threadIdx.x == 0) a.partial[blockIdx.x] = part;
}

struct TotalNorm { const double* partial; float* out; int64 count; int order; };

extern "C" __global__ void total_norm(const TotalNorm a) {
    double part = 0;
    for (int64 i = threadIdx.x; i < a.count; i += blockDim.x)
        part = a.order == LARGEST ? Max()(a.partial[i], part) : part + a.partial[i];
    part = a.order == LARGEST ? reduce_block(part, Max(), 0.0) : reduce_block(part, Add(), 0.0);
    if (threadIdx.x == 0) *a.out = float(a.order == SQUARES ? sqrt(part) : part);
}

struct Clip { Lists lists; const float* total; float limit; };

extern "C" __global__ void clip_to_norm(const Clip a) {
    float factor = a.limit / (*a.total + 1e-6f);
    if (factor >= 1) return;  // NaN spreads
    each(a.lists, [&](T& x) { x = from_float<T>(to_float(x) * factor); });
}
