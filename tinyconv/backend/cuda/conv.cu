// Convolution as a matrix product: rows are positions of the result, columns its channels, and the
// depth runs over the taps and channels that one result reads. `conv.py` launches this.
//
// The gradient of a strided convolution with respect to its input is several convolutions, each of
// which writes every `spread`th pixel, so results can be spread out.

struct Conv {
    const T* x;
    const T* w;  // (outputs of all groups, taps, channels of a group)
    const T* bias;
    T* y;
    Window window;
    int images, outputs;               // `outputs` channels a group
    int whole[3], spread[3], shift[3];  // position p is pixel p * spread + shift of `whole` ones
    float low, high;
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv(const Conv a) {
    DYNAMIC_SHARED(memory);
    const Window& o = a.window;
    int64 rows = a.images * o.positions();
    int depth = o.taps() * o.channels, group = blockIdx.z, all = gridDim.z * a.outputs;
    Place tile = my_tile(rows, a.outputs);
    int channel = group * a.outputs + tile.column;
    Patches<BM, VEC_A> pixels(a.x + group * o.channels, o, tile.row, rows - tile.row);
    AlongDepth<BN, VEC_B> weights(a.w + int64(channel) * depth, depth, a.outputs - tile.column, depth);
    float sums[SUMS];
    multiply(sums, memory, pixels, weights, (depth + BK - 1) / BK);

    End end{a.bias ? a.bias + channel : nullptr, a.low, a.high,
            int(min(rows - tile.row, int64(BM))), a.outputs - tile.column, a.outputs % V == 0};
    write<decltype(pixels), decltype(weights)>(sums, memory, end, [&](int row) {
        unsigned p = unsigned(tile.row) + row;
        int w = p % o.out[2] * a.spread[2] + a.shift[2];
        int h = p / o.out[2] % o.out[1] * a.spread[1] + a.shift[1];
        int d = p / o.out[2] / o.out[1] % o.out[0] * a.spread[0] + a.shift[0];
        int64 image = p / o.out[2] / o.out[1] / o.out[0];
        int64 pixel = ((image * a.whole[0] + d) * a.whole[1] + h) * a.whole[2] + w;
        return a.y + pixel * all + channel;
    });
}
