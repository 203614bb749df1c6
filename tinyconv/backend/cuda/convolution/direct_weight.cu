// The gradient with respect to the weights where a result reads few channels; see direct.cu. A lane
// has one weight of up to TAPS taps, and ROWS warps share the positions of a slice; slices.cu adds
// the slices up. `direct.py` launches this.

constexpr int TAPS = 9, ROWS = 8;

struct DirectWeight {
    const T* x;
    const T* dy;
    float* part;  // (slices, weights of a tap, taps)
    int size[3], out[3], kernel[3], stride[3], before[3], dilation[3];
    int images, groups, reads, writes;
    int each;  // positions of a slice
};

extern "C" __global__ void __launch_bounds__(32 * ROWS) direct_weight(const DirectWeight a) {
    __shared__ float shares[ROWS][TAPS][32];
    int lane = threadIdx.x % 32, row = threadIdx.x / 32;
    int taps = a.kernel[0] * a.kernel[1] * a.kernel[2], first = blockIdx.y * TAPS;
    int64 outputs = int64(a.groups) * a.writes, in = int64(a.groups) * a.reads;
    int64 weight = int64(blockIdx.x) * 32 + lane;  // (output, read)
    bool exists = weight < outputs * a.reads;
    int64 output = exists ? weight / a.reads : 0;
    const T* x = a.x + output / a.writes * a.reads + weight % a.reads;
    const T* dy = a.dy + output;

    int64 places = int64(a.images) * a.out[0] * a.out[1] * a.out[2];
    int64 begin = int64(blockIdx.z) * a.each, end = min(begin + a.each, places);
    float sums[TAPS] = {};
    for (int64 place = begin + row; exists && place < end; place += ROWS) {
        float gradient = to_float(dy[place * outputs]);
        int64 image = place;
        int corner[3];
#pragma unroll
        for (int axis = 2; axis >= 0; --axis) {
            corner[axis] = int(image % a.out[axis]) * a.stride[axis] - a.before[axis];
            image /= a.out[axis];
        }
#pragma unroll
        for (int t = 0; t < TAPS; ++t) {
            int tap = first + t;
            if (tap >= taps) break;
            int d = corner[0] + tap / (a.kernel[1] * a.kernel[2]) * a.dilation[0];
            int h = corner[1] + tap / a.kernel[2] % a.kernel[1] * a.dilation[1];
            int w = corner[2] + tap % a.kernel[2] * a.dilation[2];
            bool inside = unsigned(d) < unsigned(a.size[0]) && unsigned(h) < unsigned(a.size[1]) &&
                          unsigned(w) < unsigned(a.size[2]);
            int64 pixel = ((image * a.size[0] + d) * a.size[1] + h) * a.size[2] + w;
            if (inside) sums[t] += gradient * to_float(x[pixel * in]);
        }
    }
#pragma unroll
    for (int t = 0; t < TAPS; ++t) shares[row][t][lane] = sums[t];
    __syncthreads();
    float* part = a.part + (blockIdx.z * outputs * a.reads + weight) * taps + first;
    for (int t = row; t < TAPS; t += ROWS) {
        if (!exists || first + t >= taps) break;
        float sum = 0;
        for (int r = 0; r < ROWS; ++r) sum += shares[r][t][lane];
        part[t] = sum;
    }
}
