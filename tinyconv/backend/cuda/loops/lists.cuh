// Many arrays of dtype T in one launch: a table of them, cut into pieces of PIECE elements, one a block.

constexpr int MOST = 160;  // as in lists.py

struct Lists {
    T* at[MOST];
    int64 size[MOST];
    int first[MOST];  // the number of the first block of each array
    int count;
};

// Call `f(x)` with a reference to each element of this block's piece.
template <class F> __device__ inline void each(const Lists& lists, F f) {
    int block = int(blockIdx.x), t = 0;
    for (int half = 128; half > 0; half >>= 1)
        if (t + half < lists.count && lists.first[t + half] <= block) t += half;
    int64 begin = int64(block - lists.first[t]) * PIECE, end = begin + PIECE;
    if (end > lists.size[t]) end = lists.size[t];
    T* x = lists.at[t];
#pragma unroll 4
    for (int64 i = begin + threadIdx.x; i < end; i += blockDim.x) f(x[i]);
}
