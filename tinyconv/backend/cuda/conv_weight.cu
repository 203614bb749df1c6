// The gradient of a convolution with respect to its weights, as a matrix product: rows are channels
// of the result, columns channels of the taps, and the depth runs over all positions. There are few
// rows and columns, and many positions, so these are cut into slices, whose sums are added up by
// slices.cu. `conv.py` launches this.

struct WeightGrad {
    const T* x;
    const T* dy;
    T* dw;        // (outputs of all groups, taps, channels of a group)
    float* part;  // (groups, slices, outputs, taps, channels of a group), or null if one slice
    Window window;
    int images, outputs, slices;
    int tiles;  // of a slice: it has BK * tiles positions
};

// Copies number by number take many registers for their addresses.
constexpr int RESIDENT = VEC_B == 1 ? HALF_ON_BLACKWELL(BLOCKS) : BLOCKS;

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) conv_weight(const WeightGrad a) {
    DYNAMIC_SHARED(memory);
    const Window& o = a.window;
    int columns = o.taps() * o.channels;
    int group = blockIdx.z / a.slices, groups = gridDim.z / a.slices, all = groups * a.outputs;
    Place tile = my_tile(a.outputs, columns);
    int64 first = int64(blockIdx.z % a.slices) * a.tiles * BK;
    int64 end = min(first + int64(a.tiles) * BK, a.images * o.positions());
    int depth = int(max(end - first, int64(0)));
    int channel = group * a.outputs + int(tile.row);
    AcrossDepth<BM, VEC_A> dy(a.dy + first * all + channel, all, a.outputs - tile.row, depth);
    PatchColumns<BN, VEC_B> x(a.x + group * o.channels, o, tile.column, first, first + depth);
    float sums[SUMS];
    multiply(sums, memory, dy, x, (depth + BK - 1) / BK);

    End left{nullptr, -INFINITE, INFINITE, int(min(a.outputs - tile.row, int64(BM))),
             columns - tile.column, columns % V == 0, false};
    if (a.part) {
        int64 line = int64(blockIdx.z) * a.outputs + tile.row;
        write_part<decltype(dy), decltype(x)>(sums, a.part + line * columns + tile.column, columns, left);
    } else {
        T* to = a.dw + int64(channel) * columns + tile.column;
        write<decltype(dy), decltype(x)>(sums, memory, left,
                                         [&](int row) { return to + int64(row) * columns; });
    }
}
