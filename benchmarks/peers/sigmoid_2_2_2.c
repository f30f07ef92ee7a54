/* A 2-2-2 sigmoid network, half squared error, batches of one row, plain gradient descent; weights are [in, out]. */
#include <math.h>
#include <stdint.h>

static inline float sigmoid(float net) { return 1.0f / (1.0f + expf(-net)); }

void train(float *restrict values, const float *restrict x, const float *restrict y, const int64_t *restrict order,
           int64_t steps, float rate) {
    float w11 = values[0], w12 = values[1], w21 = values[2], w22 = values[3], b1 = values[4], b2 = values[5];
    float v11 = values[6], v12 = values[7], v21 = values[8], v22 = values[9], c1 = values[10], c2 = values[11];
    for (int64_t step = 0; step < steps; step++) {
        const float *row = x + 2 * order[step], *target = y + 2 * order[step];
        float x1 = row[0], x2 = row[1];
        float h1 = sigmoid(x1 * w11 + x2 * w21 + b1), h2 = sigmoid(x1 * w12 + x2 * w22 + b2);
        float o1 = sigmoid(h1 * v11 + h2 * v21 + c1), o2 = sigmoid(h1 * v12 + h2 * v22 + c2);
        float d1 = (o1 - target[0]) * o1 * (1.0f - o1), d2 = (o2 - target[1]) * o2 * (1.0f - o2);
        float e1 = (d1 * v11 + d2 * v12) * h1 * (1.0f - h1), e2 = (d1 * v21 + d2 * v22) * h2 * (1.0f - h2);
        d1 *= rate, d2 *= rate, e1 *= rate, e2 *= rate;
        v11 -= h1 * d1, v12 -= h1 * d2, v21 -= h2 * d1, v22 -= h2 * d2, c1 -= d1, c2 -= d2;
        w11 -= x1 * e1, w12 -= x1 * e2, w21 -= x2 * e1, w22 -= x2 * e2, b1 -= e1, b2 -= e2;
    }
    values[0] = w11, values[1] = w12, values[2] = w21, values[3] = w22, values[4] = b1, values[5] = b2;
    values[6] = v11, values[7] = v12, values[8] = v21, values[9] = v22, values[10] = c1, values[11] = c2;
}
