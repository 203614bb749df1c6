// Small kernels, each with faults that a #define plants: what the emulator has to notice.

struct Arguments { const float* x; float* y; int64 count; float factor; };

// Reverse the elements within each block.
extern "C" __global__ void reverse(const Arguments a) {
    __shared__ float kept[64];
    int i = threadIdx.x;
    kept[i] = a.x[blockIdx.x * blockDim.x + i];
#ifndef MISSING_BARRIER
    __syncthreads();
#endif
    a.y[blockIdx.x * blockDim.x + i] = kept[blockDim.x - 1 - i];
}

// Shift the elements of a block by one, `count` times, in place in dynamic shared memory.
extern "C" __global__ void rotate(const Arguments a) {
    DYNAMIC_SHARED(memory);
    float* kept = reinterpret_cast<float*>(memory);
    int i = threadIdx.x, n = blockDim.x;
    kept[i] = a.x[i];
    __syncthreads();
    for (int64 step = 0; step < a.count; ++step) {
        float next = kept[(i + 1) % n];
#ifndef MISSING_SECOND_BARRIER
        __syncthreads();
#endif
        kept[i] = next;
#ifdef TOO_FAR
        kept[i + 1] = next;
#endif
        __syncthreads();
    }
#ifdef READ_TOO_FAR
    a.y[i] = kept[i + 1];
#else
    a.y[i] = kept[i];
#endif
}

// Multiply by `factor`.
extern "C" __global__ void __launch_bounds__(128, 2) scale(const Arguments a) {
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
#ifdef TOO_MANY
    if (i <= a.count) a.y[i] = a.x[i] * a.factor;
#elif defined(MISALIGNED)
    typedef Pack<float, 4> Four;
    if (i < a.count / 4)
        reinterpret_cast<Four*>(a.y)[i] = reinterpret_cast<const Four*>(a.x + 1)[i];
#else
    if (i < a.count) a.y[i] = a.x[i] * a.factor;
#endif
}

// Add up each warp; lane 0 writes.
extern "C" __global__ void sums(const Arguments a) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float x = i < a.count ? a.x[i] : 0.0f;
#ifdef OFF_BY_ONE
    for (int distance = 15; distance > 0; distance >>= 1) x += shuffle_down(x, distance);
#elif defined(SOME_LANES)
    for (int distance = 16; distance > 0; distance >>= 1) x += shuffle_down(x, distance);
    if (i == 31) return;
    for (int distance = 16; distance > 0; distance >>= 1) x = 0.5f * (x + shuffle(x, 31));
#else
    for (int distance = 16; distance > 0; distance >>= 1) x += shuffle_down(x, distance);
#endif
    if (threadIdx.x % 32 == 0) a.y[i / 32] = x;
}

// Meet in places that only some threads come to.
extern "C" __global__ void diverge(const Arguments a) {
    float x = a.x[threadIdx.x];
#if defined(HALF_IN_A_BARRIER)
    if (threadIdx.x < 24) __syncthreads();
    x = shuffle_xor(x, 1);
#elif defined(TWO_BARRIERS)
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
#elif defined(TWO_COLLECTIVES)
    if (threadIdx.x & 1)
        x = shuffle_xor(x, 2);
    else
        x = ballot_warp(x > 0);
#elif defined(DEEP)
    volatile char frame[100000];
    for (int i = 0; i < 100000; ++i) frame[i] = 1;
    __syncthreads();
#else
    if (threadIdx.x < 32) x = shuffle_xor(x, 1);  // a whole warp: that is fine
    __syncthreads();
#endif
    a.y[threadIdx.x] = x;
}
