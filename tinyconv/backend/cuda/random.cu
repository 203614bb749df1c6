// Random words; `random.py` launches this. A thread makes one block of four.

struct Random { uint32* out; int64 blocks; Draw draw; };

extern "C" __global__ void philox(const Random a) {
    int64 stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < a.blocks; i += stride) {
        Words words = a.draw.block(uint32(i));
        reinterpret_cast<Pack<uint32, 4>*>(a.out)[i] =
            {{words.at[0], words.at[1], words.at[2], words.at[3]}};
    }
}
