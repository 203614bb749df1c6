// Convolution as a matrix product: rows are positions of the result, columns its channels, and the
// depth runs over the taps and channels that one result reads. `correlating.py` launches this.
//
// The gradient of a strided convolution with respect to its input is several convolutions, each of
// which writes every `spread`th pixel, so results can be spread out. One launch computes them all,
// also those without a tap: their results are 0.
//
// #define PHASES   convolutions of a launch, at most

struct Conv {
    const T* x;
    const T* w;
    const T* bias;
    T* y;
    double* moments;           // (tiles of rows, 2, outputs of all groups), or null; see moments.cuh
    const T* addend;           // laid out as y, or y itself: results are added to it; or null
    Window windows[PHASES];
    int64 starts[PHASES];      // where weights (outputs of all groups, taps, channels of a group) are
    int shifts[PHASES][3];     // position p is pixel p * spread + shift of `whole` ones
    int whole[3], spread[3];
    int images, outputs, groups;  // `outputs` channels a group
    float low, high;
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv(const Conv a) {
    DYNAMIC_SHARED(memory);
    int phase = PHASES == 1 ? 0 : blockIdx.z / a.groups, group = blockIdx.z - phase * a.groups;
    const Window& o = a.windows[phase];
    int64 rows = a.images * o.positions();
    if (PHASES > 1 && blockIdx.x >= tiles_of(rows, a.outputs)) return;  // others have more rows
    int depth = o.taps() * o.channels, all = a.groups * a.outputs;
    Place tile = my_tile(rows, a.outputs);
    int channel = group * a.outputs + tile.column;
    Patches<BM, VEC_A> pixels(a.x + group * o.channels, o, tile.row, rows - tile.row);
    AlongDepth<BN, VEC_B> weights(a.w + a.starts[phase] + int64(channel) * depth, depth,
                                  a.outputs - tile.column, depth);
    float sums[SUMS];
    multiply(sums, memory, pixels, weights, (depth + BK - 1) / BK);

    End end{a.bias ? a.bias + channel : nullptr, a.low, a.high,
            int(min(rows - tile.row, int64(BM))), a.outputs - tile.column, a.outputs % V == 0,
            a.addend != nullptr, a.addend ? a.addend - a.y : 0};
    bool dense = a.spread[0] * a.spread[1] * a.spread[2] == 1;  // position p is pixel p
    write<decltype(pixels), decltype(weights)>(sums, memory, end, [&](int row) {
        if (dense) return a.y + (tile.row + row) * all + channel;
        const int* shift = a.shifts[phase];
        unsigned p = unsigned(tile.row) + row;
        int w = p % o.out[2] * a.spread[2] + shift[2];
        int h = p / o.out[2] % o.out[1] * a.spread[1] + shift[1];
        int d = p / o.out[2] / o.out[1] % o.out[0] * a.spread[0] + shift[0];
        int64 image = p / o.out[2] / o.out[1] / o.out[0];
        int64 pixel = ((image * a.whole[0] + d) * a.whole[1] + h) * a.whole[2] + w;
        return a.y + pixel * all + channel;
    });
    if (a.moments) write_moments(memory, end, a.moments + tile.row / BM * 2 * all + channel, all);
}
