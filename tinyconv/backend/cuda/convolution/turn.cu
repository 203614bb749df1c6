// Weights for the input gradient: inputs and outputs exchanged, taps in the opposite order, taps of
// one class modulo `step` together. `conv.py` says why, and launches this.
//
// Within a group, w is a matrix of `outputs` rows whose columns are taps and channels, in either
// order. Tiles of 32 x 32 are transposed in shared memory: reads run along columns, writes along
// rows.

struct Turn {
    const T* w;
    T* to;
    int outputs, channels, groups;  // of a group
    int channels_last;
    int kernel[3], step[3];
};

// Taps of a class, and taps of the classes before it, of an axis.
__device__ inline int members(int size, int step, int c) { return (size - c + step - 1) / step; }
__device__ inline int before(int size, int step, int c) {
    return c * (size / step) + min(c, size % step);
}

// Where the results of a column begin.
__device__ inline int64 column_begin(const Turn& a, int channel, int tap) {
    const int at[3] = {tap / (a.kernel[1] * a.kernel[2]), tap / a.kernel[2] % a.kernel[1],
                       tap % a.kernel[2]};
    int earlier = 0, place = 0, lead = 1, inner = a.kernel[0] * a.kernel[1] * a.kernel[2];
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        int size = a.kernel[axis], step = a.step[axis], c = at[axis] % step;
        int count = members(size, step, c);
        inner /= size;
        earlier += lead * inner * before(size, step, c);
        lead *= count;
        place = place * count + (size - 1 - at[axis]) / step;
    }
    int64 all = int64(a.groups) * a.channels;
    return (earlier * all + int64(blockIdx.z * a.channels + channel) * lead + place) * a.outputs;
}

extern "C" __global__ void turn(const Turn a) {
    __shared__ T tile[32][33];
    int taps = a.kernel[0] * a.kernel[1] * a.kernel[2], columns = taps * a.channels;
    int x = threadIdx.x, y = threadIdx.y, first = blockIdx.x * 32;
    const T* w = a.w + int64(blockIdx.z) * a.outputs * columns;
    for (int row = blockIdx.y * 32; row < a.outputs; row += gridDim.y * 32) {
        for (int i = y; i < 32; i += 8)
            if (row + i < a.outputs && first + x < columns)
                tile[i][x] = w[int64(row + i) * columns + first + x];
        __syncthreads();
        for (int i = y; i < 32; i += 8) {
            int column = first + i;
            if (row + x >= a.outputs || column >= columns) continue;
            int channel = a.channels_last ? column % a.channels : column / taps;
            int tap = a.channels_last ? column / a.channels : column % taps;
            a.to[column_begin(a, channel, tap) + row + x] = tile[x][i];
        }
        __syncthreads();
    }
}
