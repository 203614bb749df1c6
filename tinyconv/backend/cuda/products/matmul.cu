// Products of matrices, and of stacks of them. Either operand may lie in memory by rows or by
// columns: A_ALONG and B_ALONG say whether the depth runs along its lines. `product.py` launches this.

struct Product {
    const T* a;
    const T* b;
    const T* bias;
    T* y;
    float* part;  // (stack, slices, rows, columns), or null if there is one slice
    double* moments;  // (tiles of rows, 2, y_pitch), or null; see moments.cuh
    const T* addend;  // laid out as y, or y itself: products are added to it; or null
    int64 rows, a_pitch, b_pitch, a_step, b_step, bias_step;  // steps: from one matrix to the next
    int64 y_pitch, y_step;
    int columns, depth, slices, tiles;
    float low, high;
};

template <bool ALONG, int SIZE, int VEC> struct Pick { using Loader = AlongDepth<SIZE, VEC>; };
template <int SIZE, int VEC> struct Pick<false, SIZE, VEC> { using Loader = AcrossDepth<SIZE, VEC>; };

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) matmul(const Product a) {
    DYNAMIC_SHARED(memory);
    using A = typename Pick<A_ALONG, BM, VEC_A>::Loader;
    using B = typename Pick<B_ALONG, BN, VEC_B>::Loader;
    int64 which = blockIdx.z / a.slices;
    Place tile = my_tile(a.rows, a.columns);
    int first = blockIdx.z % a.slices * a.tiles * BK;
    int depth = max(min(a.tiles * BK, a.depth - first), 0);
    A left(a.a + which * a.a_step + (A_ALONG ? tile.row * a.a_pitch + first : first * a.a_pitch + tile.row),
           a.a_pitch, a.rows - tile.row, depth);
    B right(a.b + which * a.b_step +
                (B_ALONG ? tile.column * a.b_pitch + first : first * a.b_pitch + tile.column),
            a.b_pitch, a.columns - tile.column, depth);
    float sums[SUMS];
    multiply(sums, memory, left, right, (depth + BK - 1) / BK);

    End end{a.bias ? a.bias + which * a.bias_step + tile.column : nullptr, a.low, a.high,
            int(min(a.rows - tile.row, int64(BM))), a.columns - tile.column,
            a.y_pitch % V == 0 && a.y_step % V == 0, a.addend != nullptr,
            a.addend ? a.addend - a.y : 0};
    if (a.part) {
        int64 line = int64(blockIdx.z) * a.rows + tile.row;
        write_part<A, B>(sums, a.part + line * a.columns + tile.column, a.columns, end);
    } else {
        T* to = a.y + which * a.y_step + tile.row * a.y_pitch + tile.column;
        write<A, B>(sums, memory, end, [&](int row) { return to + row * a.y_pitch; });
        if (a.moments)
            write_moments(memory, end, a.moments + tile.row / BM * 2 * a.y_pitch + which * a.y_step +
                          tile.column, a.y_pitch);
    }
}
