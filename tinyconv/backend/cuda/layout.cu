// Images (images, channels, positions) as (images, positions, channels), and weights likewise, with
// zeros as further channels if so wanted. `layout.py` launches this.
//
// Tiles of `rows` channels and `columns` positions go through shared memory, so that reads and writes
// both run along memory. Kernels of few taps have few positions, images few channels: tiles have what
// shape fits them.
//
// #define TILE   elements of a tile, at most

constexpr int THREADS = 256;

struct Last {
    const T* x;
    T* y;
    int64 images, positions;
    int64 channel_step, position_step;  // of x, where images are next to each other
    int channels, wide;                 // of x and of y
    int rows, columns;
};

// Call f(line, place) for all places of so many lines, those of a line one after the other.
template <class F> __device__ inline void each_place(int lines, int length, F f) {
    int down = THREADS / length, along = THREADS % length;
    int line = threadIdx.x / length, place = threadIdx.x % length;
#pragma unroll 4
    for (int i = threadIdx.x; i < lines * length; i += THREADS) {
        f(line, place);
        line += down, place += along;
        if (place >= length) ++line, place -= length;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) channels_last(const Last a) {
    __shared__ T tile[TILE * 3 / 2];
    int pitch = a.columns | 1;  // an odd number of elements: reads down a column meet all banks
    int64 first = int64(blockIdx.x) * a.columns;
    int columns = int(min(a.positions - first, int64(a.columns)));
    for (int64 image = blockIdx.z; image < a.images; image += gridDim.z)
        for (int64 channel = int64(blockIdx.y) * a.rows; channel < a.wide;
             channel += int64(gridDim.y) * a.rows) {
            int rows = int(min(a.wide - channel, int64(a.rows)));
            const T* x = a.x + image * a.channels * a.positions + channel * a.channel_step +
                         first * a.position_step;
            auto read = [&](int row, int column) {
                T* to = tile + row * pitch + column;
                if (channel + row >= a.channels) *to = T{};
                else *to = x[row * a.channel_step + column * a.position_step];
            };
            if (a.position_step == 1) each_place(rows, columns, read);
            else each_place(columns, rows, [&](int column, int row) { read(row, column); });
            __syncthreads();
            T* y = a.y + (image * a.positions + first) * a.wide + channel;
            each_place(columns, rows, [&](int column, int row) {
                y[int64(column) * a.wide + row] = tile[row * pitch + column];
            });
            __syncthreads();  // the tile has been read
        }
}
