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
    int which = blockIdx.y, i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= a.size[which]) return;
    T* at = a.average[which] + i;
    *at = from_float<T>(float(double(to_float(*at)) * (1 - a.momentum) + a.value[which][i] * a.momentum));
}
