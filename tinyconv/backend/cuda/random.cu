// Random words; `random.py` launches this. A thread makes one block of four.

struct Random { uint32* out; int64 blocks; uint32 counter[3], key[2]; };

extern "C" __global__ void philox(const Random a) {
    int64 stride = int64(gridDim.x) * blockDim.x;
    for (int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x; i < a.blocks; i += stride) {
        Words words = philox_block(uint32(i), a.counter[0], a.counter[1], a.counter[2], a.key[0], a.key[1]);
        reinterpret_cast<Pack<uint32, 4>*>(a.out)[i] =
            {{words.at[0], words.at[1], words.at[2], words.at[3]}};
    }
}
