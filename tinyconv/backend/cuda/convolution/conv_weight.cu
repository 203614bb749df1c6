// The gradient of a convolution with respect to its weights, as a matrix product: rows are channels
// of the result, columns channels of the taps, and the depth runs over all positions. There are few
// rows and columns, and many positions, so these are cut into slices, whose sums are added up by
// slices.cu. In the result a channel's taps are next to each other. `conv.py` launches this.

struct WeightGrad {
    const T* x;
    const T* dy;
    T* dw;        // (outputs of all groups, channels of a group, taps)
    float* part;  // (groups, slices, outputs, taps, channels of a group), or null if one slice
    Window window;
    int images, outputs;
    int kept;   // channels of a group that dw has: the first ones
    int tiles;  // of a slice: it has BK * tiles positions. The struct is the 128 bytes that the
                // compiler reads at once; with more, some kernels have too few registers
};

// Copies number by number take many registers for their addresses.
constexpr int RESIDENT = VEC_B == 1 ? HALF_ON_BLACKWELL(BLOCKS) : BLOCKS;

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) conv_weight(const WeightGrad a) {
    DYNAMIC_SHARED(memory);
    const Window& o = a.window;
    int columns = o.taps() * o.channels;
    int groups = o.pitch / o.channels, slices = gridDim.z / groups, all = groups * a.outputs;
    int group = blockIdx.z / slices;
    Place tile = my_tile(a.outputs, columns);
    int64 first = int64(blockIdx.z % slices) * a.tiles * BK;
    int64 end = min(first + int64(a.tiles) * BK, a.images * o.positions());
    int depth = int(max(end - first, int64(0)));
    int channel = group * a.outputs + int(tile.row);
    AcrossDepth<BM, VEC_A> dy(a.dy + first * all + channel, all, a.outputs - tile.row, depth);
    PatchColumns<BN, VEC_B> x(a.x + group * o.channels, o, tile.column, first, first + depth);
    float sums[SUMS];
    multiply(sums, memory, dy, x, (depth + BK - 1) / BK);

    End left{nullptr, -INFINITE, INFINITE, int(min(a.outputs - tile.row, int64(BM))),
             columns - tile.column, false, false};
    if (a.part) {
        int64 line = int64(blockIdx.z) * a.outputs + tile.row;
        write_part<decltype(dy), decltype(x)>(sums, a.part + line * columns + tile.column, columns, left);
    } else {
        T* staged = reinterpret_cast<T*>(memory);
        __syncthreads();  // the last tile has been multiplied
        stage<decltype(dy), decltype(x)>(sums, staged, left);
        static_assert(THREADS % BN == 0);
        int mine = threadIdx.x % BN, read = (tile.column + mine) % o.channels;
        if (mine >= left.columns || read >= a.kept) return;
        int taps = o.taps(), tap = (tile.column + mine) / o.channels;
        for (int row = threadIdx.x / BN; row < left.rows; row += THREADS / BN)
            a.dw[(int64(channel + row) * a.kept + read) * taps + tap] = staged[row * PITCH + mine];
    }
}
