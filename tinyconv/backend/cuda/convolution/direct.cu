// Convolution where a result reads few channels: depthwise, small groups, images of a few channels.
// There is no matrix product in it worth the name, so a thread simply adds up what its results read.
// `direct.py` launches this.
//
// #define BACKWARD   1 for the gradient with respect to the input: what is read is dy
//         ADD        1 if results are added to what stands in y
//         VEC        neighbouring channels of a thread: more than one if depthwise
//
// A thread has VEC channels at PIXELS places, which share the weights that it reads.

constexpr int PIXELS = VEC == 1 ? 4 : 2;

struct Direct {
    const T* x;
    const T* w;  // (taps, reads, channels of y)
    const T* bias;
    T* y;
    int size[3], out[3], kernel[3], stride[3], before[3], dilation[3];  // of x and of y
    int images, groups, reads, writes;                                  // channels of a group
    float low, high;
};

// Which pixel of x a tap reads for a pixel of y; -1 if none.
__device__ inline int64 source(const Direct& a, int64 image, const int* at, const int* tap) {
    int64 pixel = image;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        int i = BACKWARD ? at[axis] + a.before[axis] - tap[axis] * a.dilation[axis]
                         : at[axis] * a.stride[axis] - a.before[axis] + tap[axis] * a.dilation[axis];
        if (BACKWARD) {
            if (i < 0 || i % a.stride[axis]) return -1;
            i /= a.stride[axis];
        }
        if (unsigned(i) >= unsigned(a.size[axis])) return -1;
        pixel = pixel * a.size[axis] + i;
    }
    return pixel;
}

constexpr int RESIDENT = HALF_ON_BLACKWELL(2);

extern "C" __global__ void __launch_bounds__(256, RESIDENT) direct(const Direct a) {
    using Chunk = Pack<T, VEC>;
    int in = a.groups * a.reads, channels = a.groups * a.writes, chunks = channels / VEC;
    int64 places = int64(a.images) * a.out[0] * a.out[1] * a.out[2];
    int64 stride = int64(gridDim.x) * blockDim.x, work = (places + PIXELS - 1) / PIXELS * chunks;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < work; i += stride) {
        int channel = int(i % chunks) * VEC;
        const T* x = a.x + channel / a.writes * a.reads;  // VEC > 1 only where writes = reads = 1
        const T* w = a.w + channel;
        int64 first = i / chunks * PIXELS, image[PIXELS];
        int at[PIXELS][3];
        float sums[PIXELS][VEC];
#pragma unroll
        for (int p = 0; p < PIXELS; ++p) {
            int64 rest = first + p;
#pragma unroll
            for (int axis = 2; axis >= 0; --axis) {
                at[p][axis] = int(rest % a.out[axis]);
                rest /= a.out[axis];
            }
            image[p] = rest;
#pragma unroll
            for (int v = 0; v < VEC; ++v) sums[p][v] = a.bias ? to_float(a.bias[channel + v]) : 0;
            if (!ADD || first + p >= places) continue;
            Chunk there = *reinterpret_cast<const Chunk*>(a.y + (first + p) * channels + channel);
#pragma unroll
            for (int v = 0; v < VEC; ++v) sums[p][v] += to_float(there.at[v]);
        }
        int tap[3];
        for (tap[0] = 0; tap[0] < a.kernel[0]; ++tap[0])
            for (tap[1] = 0; tap[1] < a.kernel[1]; ++tap[1])
                for (tap[2] = 0; tap[2] < a.kernel[2]; ++tap[2], w += a.reads * channels) {
                    int64 pixel[PIXELS];
#pragma unroll
                    for (int p = 0; p < PIXELS; ++p)
                        pixel[p] = first + p < places ? source(a, image[p], at[p], tap) : -1;
                    for (int c = 0; c < a.reads; ++c) {
                        Chunk weight = *reinterpret_cast<const Chunk*>(w + c * channels);
#pragma unroll
                        for (int p = 0; p < PIXELS; ++p) {
                            if (pixel[p] < 0) continue;
                            Chunk read = *reinterpret_cast<const Chunk*>(x + pixel[p] * in + c);
#pragma unroll
                            for (int v = 0; v < VEC; ++v)
                                sums[p][v] += to_float(read.at[v]) * to_float(weight.at[v]);
                        }
                    }
                }
#pragma unroll
        for (int p = 0; p < PIXELS; ++p) {
            if (first + p >= places) break;
            Chunk result;
#pragma unroll
            for (int v = 0; v < VEC; ++v) {
                float sum = sums[p][v];
                result.at[v] = from_float<T>(sum <= a.low ? a.low : sum >= a.high ? a.high : sum);
            }
            *reinterpret_cast<Chunk*>(a.y + (first + p) * channels + channel) = result;
        }
    }
}
