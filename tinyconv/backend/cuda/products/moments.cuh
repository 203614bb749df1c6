// Mean and variance of the columns of a tile of results (product.cuh), while they are still in shared
// memory: batch normalisation needs no pass over memory to find them.

// Write the sums of the columns of a tile to `to`, and their sums of squared differences from their
// means `pitch` numbers further. `write` has staged the results; they are taken as it has rounded
// them. Several threads share a column, whose sets of rows are put together by the formula of Chan,
// Golub and LeVeque (1983); no number is squared before a number near the mean is taken off.
__device__ inline void write_moments(unsigned char* memory, const End& end, double* to, int pitch) {
    constexpr int ACROSS = BN / V, DOWN = THREADS / ACROSS;
    struct Part { float sum, squares; };
    constexpr int STAGED = BM * PITCH * sizeof(T), TILES = STAGES * (BM + BN) * BK * sizeof(T);
    static_assert(THREADS % ACROSS == 0 && BN <= THREADS);
    static_assert(DOWN * BN * sizeof(Part) <= (STAGED > TILES ? STAGED : TILES));
    const T* staged = reinterpret_cast<const T*>(memory);
    // What sums are taken from: the first number of the column, or 0.
    auto centre_of = [&](int column) {
        float x = to_float(staged[column]);
        return fabsf(x) < INFINITE ? x : 0;
    };
    auto rows_of = [&](int first) { return (end.rows - first + DOWN - 1) / DOWN; };

    int first = threadIdx.x / ACROSS, column = threadIdx.x % ACROSS * V;
    float centre[V], sum[V], squares[V];
#pragma unroll
    for (int k = 0; k < V; ++k) centre[k] = centre_of(column + k), sum[k] = squares[k] = 0;
    auto each_row = [&](auto add) {
#pragma unroll 4
        for (int row = first; row < end.rows; row += DOWN) {
            const Pack<T, V> x = *reinterpret_cast<const Pack<T, V>*>(staged + row * PITCH + column);
#pragma unroll
            for (int k = 0; k < V; ++k) add(k, to_float(x.at[k]) - centre[k]);
        }
    };
    each_row([&](int k, float x) { sum[k] += x; });
    float part = 1.0f / max(rows_of(first), 1);
    each_row([&](int k, float x) {
        float apart = x - sum[k] * part;
        squares[k] = fmaf(apart, apart, squares[k]);
    });
    float middle = centre_of(threadIdx.x % BN);
    __syncthreads();  // the results have been read
    Part* parts = reinterpret_cast<Part*>(memory);
#pragma unroll
    for (int k = 0; k < V; ++k) parts[first * BN + column + k] = {sum[k], squares[k]};
    __syncthreads();

    column = threadIdx.x;
    if (column >= min(BN, end.columns)) return;
    double total = 0, apart = 0;
    for (int i = 0; i < DOWN; ++i) total += parts[i * BN + column].sum;
    float mean = float(total) / end.rows;
    for (int i = 0; i < min(DOWN, end.rows); ++i) {
        const Part of = parts[i * BN + column];
        float distance = of.sum / rows_of(i) - mean;
        apart += of.squares + distance * distance * rows_of(i);
    }
    to[column] = double(middle) * end.rows + total;
    to[pitch + column] = apart;
}
