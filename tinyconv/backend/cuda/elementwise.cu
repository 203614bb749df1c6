// Adding to an array in place; `elementwise.py` launches this.

extern "C" __global__ void accumulate(const Map a) {
    map(a, [](float total, float addend) { return total + addend; });
}
