// Sums over a warp and over a block, in a fixed order: the same bits in every run.

struct Add {
    template <class V> __device__ V operator()(V a, V b) const { return a + b; }
};
struct Max {  // NaN wins
    template <class V> __device__ V operator()(V a, V b) const { return a > b || a != a ? a : b; }
};

// Return the result of all 32 lanes, in every lane; or that of `lanes` neighbours, a power of two, in
// each of them. All lanes of the warp call it.
template <class V, class Op> __device__ inline V reduce_warp(V x, Op op, int lanes = 32) {
    for (int distance = lanes >> 1; distance > 0; distance >>= 1)
        x = op(x, shuffle_xor(x, distance));
    return x;
}

// Return the result of all threads of a one-dimensional block, in every thread. `none` is what
// leaves other numbers as they are. Blocks are whole warps.
template <class V, class Op> __device__ inline V reduce_block(V x, Op op, V none) {
    __shared__ V of_warp[32];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    x = reduce_warp(x, op);
    __syncthreads();  // an earlier call may still be read
    if (lane == 0) of_warp[warp] = x;
    __syncthreads();
    return reduce_warp(lane < warps ? of_warp[lane] : none, op);
}
