// Max and sum pooling in up to three spatial dimensions over channels-last memory.
//
// A thread makes WIDTH adjacent channels of one pixel of the result. Forward, it looks at the taps
// of its window; backward, at the outputs whose windows hold its pixel. Either way every number is
// written once, and sums have one order, that of ascending taps. `pool.py` launches these.

constexpr int THREADS = 256;

struct Pool {
    const T* x;           // (N, *size, C), or a gradient (N, *out, C)
    const INDEX* window;  // (N, *out, C): which tap won
    T* y;
    INDEX* winner;
    int64 samples;
    int vectors, channels;  // vectors: those of a sample of the result
    float divisor;
    int size[3], out[3], kernel[3], stride[3], before[3], dilation[3];
};

typedef Pack<T, WIDTH> Vector;
typedef Pack<INDEX, WIDTH> Taps;

// A vector of (N, *shape, C): sample, position, and first channel.
struct Pixel {
    int64 sample;
    int at[3], channel;

    __device__ Pixel(const Pool& a, const int* shape, int64 n, int number) : sample(n) {
        int across = a.channels / WIDTH;
        channel = number % across * WIDTH, number /= across;
        at[2] = number % shape[2], number /= shape[2];
        at[1] = number % shape[1], at[0] = number / shape[1];
    }
};

// Number of the element of (N, *shape, C) at position (i, j, k), in the sample and channel of p.
__device__ inline int64 element(const Pool& a, const int* shape, const Pixel& p, int i, int j, int k) {
    return (((p.sample * shape[0] + i) * shape[1] + j) * shape[2] + k) * a.channels + p.channel;
}

// Call `f(tap, element)` for the taps of the window of output p that lie inside the input.
template <class F> __device__ inline void for_taps(const Pool& a, const Pixel& p, F f) {
    int start[3];
    for (int d = 0; d < 3; ++d) start[d] = p.at[d] * a.stride[d] - a.before[d];
    for (int i = 0; i < a.kernel[0]; ++i) {
        int z = start[0] + i * a.dilation[0];
        if (unsigned(z) >= unsigned(a.size[0])) continue;
        for (int j = 0; j < a.kernel[1]; ++j) {
            int y = start[1] + j * a.dilation[1];
            if (unsigned(y) >= unsigned(a.size[1])) continue;
            int64 line = element(a, a.size, p, z, y, 0);
#pragma unroll 3
            for (int k = 0; k < a.kernel[2]; ++k) {
                int x = start[2] + k * a.dilation[2];
                if (unsigned(x) < unsigned(a.size[2]))
                    f((i * a.kernel[1] + j) * a.kernel[2] + k, line + int64(x) * a.channels);
            }
        }
    }
}

// The outputs along one dimension whose windows reach over input position `at`: from last down to
// first, so that their taps ascend. With dilation some of them step over it.
struct Outputs {
    int reach, first, last;

    __device__ Outputs(const Pool& a, int d, int at) {
        reach = at + a.before[d];
        int behind = reach - (a.kernel[d] - 1) * a.dilation[d];
        first = behind <= 0 ? 0 : (behind + a.stride[d] - 1) / a.stride[d];
        last = min(reach / a.stride[d], a.out[d] - 1);
    }
    // The tap with which output o reads the position, or -1.
    __device__ int tap(const Pool& a, int d, int o) const {
        int distance = reach - o * a.stride[d], tap = distance / a.dilation[d];
        return tap * a.dilation[d] == distance ? tap : -1;
    }
};

// Call `f(tap, element)` for all outputs that read the input pixel p, and the taps they do it with.
template <class F> __device__ inline void for_outputs(const Pool& a, const Pixel& p, F f) {
    Outputs z(a, 0, p.at[0]), y(a, 1, p.at[1]), x(a, 2, p.at[2]);
    for (int i = z.last; i >= z.first; --i) {
        int z_tap = z.tap(a, 0, i);
        if (z_tap < 0) continue;
        for (int j = y.last; j >= y.first; --j) {
            int y_tap = y.tap(a, 1, j);
            if (y_tap < 0) continue;
            int row = (z_tap * a.kernel[1] + y_tap) * a.kernel[2];
            for (int k = x.last; k >= x.first; --k) {
                int x_tap = x.tap(a, 2, k);
                if (x_tap >= 0) f(row + x_tap, element(a, a.out, p, i, j, k));
            }
        }
    }
}

// Call `f(number, pixel)` for the vectors of a result (N, *shape, C) that are this thread's.
template <class F> __device__ inline void for_pixels(const Pool& a, const int* shape, F f) {
    for (int64 n = blockIdx.y; n < a.samples; n += gridDim.y)
        for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < a.vectors;
             i += gridDim.x * blockDim.x)
            f(n * a.vectors + i, Pixel(a, shape, n, i));
}

__device__ inline Vector read(const T* x, int64 at) {
    return *reinterpret_cast<const Vector*>(x + at);
}

// Round sums, divided, and write them.
__device__ inline void write(const Pool& a, int64 number, const float* sums) {
    Vector y;
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) y.at[w] = from_float<T>(sums[w] / a.divisor);
    reinterpret_cast<Vector*>(a.y)[number] = y;
}

// The first tap inside the input wins over nothing, the first NaN over all else, a larger number
// over a smaller one.
extern "C" __global__ void __launch_bounds__(THREADS, 4) max_pool(const Pool a) {
    for_pixels(a, a.out, [&](int64 number, const Pixel& p) {
        float best[WIDTH];
        Taps winner;
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) best[w] = -INFINITE, winner.at[w] = 0;
        bool found = false;
        for_taps(a, p, [&](int tap, int64 at) {
            Vector x = read(a.x, at);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) {
                float value = to_float(x.at[w]);
                if (value > best[w] || (value != value && best[w] == best[w]) || !found)
                    best[w] = value, winner.at[w] = INDEX(tap);
            }
            found = true;
        });
        Vector y;
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) y.at[w] = from_float<T>(best[w]);
        reinterpret_cast<Vector*>(a.y)[number] = y;
        reinterpret_cast<Taps*>(a.winner)[number] = winner;
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, BLACKWELL ? 3 : 4)
max_pool_grad(const Pool a) {
    for_pixels(a, a.size, [&](int64 number, const Pixel& p) {
        float sums[WIDTH] = {};
        for_outputs(a, p, [&](int tap, int64 at) {
            Vector dy = read(a.x, at);
            Taps window = *reinterpret_cast<const Taps*>(a.window + at);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w)
                if (window.at[w] == INDEX(tap)) sums[w] += to_float(dy.at[w]);
        });
        write(a, number, sums);
    });
}

// Winners lie apart, so each is read on its own.
extern "C" __global__ void __launch_bounds__(THREADS, 3) max_pool_take(const Pool a) {
    for_pixels(a, a.out, [&](int64 number, const Pixel& p) {
        Taps window = reinterpret_cast<const Taps*>(a.window)[number];
        Vector y;
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            int tap = window.at[w], at[3];
            bool inside = true;
            for (int d = 2; d >= 0; --d) {
                int t = d ? tap % a.kernel[d] : tap;
                tap /= a.kernel[d];
                at[d] = p.at[d] * a.stride[d] - a.before[d] + t * a.dilation[d];
                inside = inside && unsigned(at[d]) < unsigned(a.size[d]);
            }
            y.at[w] = inside ? a.x[element(a, a.size, p, at[0], at[1], at[2]) + w] : from_float<T>(0);
        }
        reinterpret_cast<Vector*>(a.y)[number] = y;
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) sum_pool(const Pool a) {
    for_pixels(a, a.out, [&](int64 number, const Pixel& p) {
        float sums[WIDTH] = {};
        for_taps(a, p, [&](int, int64 at) {
            Vector x = read(a.x, at);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) sums[w] += to_float(x.at[w]);
        });
        write(a, number, sums);
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) sum_pool_grad(const Pool a) {
    for_pixels(a, a.size, [&](int64 number, const Pixel& p) {
        float sums[WIDTH] = {};
        for_outputs(a, p, [&](int, int64 at) {
            Vector dy = read(a.x, at);
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) sums[w] += to_float(dy.at[w]);
        });
        write(a, number, sums);
    });
}
