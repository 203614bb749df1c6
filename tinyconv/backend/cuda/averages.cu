// Running averages of batch normalisation, moved towards new values: one launch for all of a layer.
// `averages.py` launches this.

constexpr int MOST = 2;  // as in averages.py

struct Averages {
    T* average[MOST];
    const double* value[MOST];
    int size[MOST];
    double momentum;
};

extern "C" __global__ void move_averages(const Averages a) {
    // No index but a constant: arguments would be copied into slow memory.
    bool second = blockIdx.y == 1;
    int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= (second ? a.size[1] : a.size[0])) return;
    T* at = (second ? a.average[1] : a.average[0]) + i;
    double value = (second ? a.value[1] : a.value[0])[i];
    *at = from_float<T>(float(double(to_float(*at)) * (1 - a.momentum) + value * a.momentum));
}
