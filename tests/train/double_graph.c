#include "tests/train/double_graph.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/ir/operator.h"
#include "ops/attention/attention_train_f32.h"
#include "ops/dropout/dropout.h"
#include "ops/loss/relation_f32.h"
#include "tests/engine/ir_fixture.h"
#include "train/operators.h"

typedef struct context {
  double_graph *run;
  const pith_node *node;
} context;

static const pith_tensor *shape(const context *c, uint32_t input) {
  return &c->run->graph->tensors[c->node->inputs[input]];
}
static bool has(const context *c, uint32_t input) {
  return input < c->node->input_count && c->node->inputs[input] != PITH_NONE;
}
static double_tensor *in(const context *c, uint32_t input) {
  return &c->run->tensors[c->node->inputs[input]];
}
static const double *values(const context *c, uint32_t input) {
  return in(c, input)->values;
}
static double_tensor *out(const context *c, uint32_t output) {
  return &c->run->tensors[c->node->outputs[output]];
}
static size_t size(const context *c, const pith_tensor *tensor, uint32_t dim) {
  int64_t value;
  assert_int_equal(pith_dim_evaluate(&tensor->dims[dim], c->run->symbols, &value, NULL), PITH_OK);
  return (size_t)value;
}
static double number(const context *c, const char *name) {
  return pith_node_get_attribute(c->node, name)->f;
}
static int64_t integer(const context *c, const char *name) {
  return pith_node_get_attribute(c->node, name)->i;
}
static int64_t get_index(const context *c, uint32_t input, size_t i) {
  const void *bytes = in(c, input)->bytes;
  return shape(c, input)->dtype == PITH_DTYPE_S64 ? ((const int64_t *)bytes)[i] : ((const int32_t *)bytes)[i];
}
/* Elements before an axis, along it, and behind it. */
static void split(const context *c, uint32_t input, uint32_t axis, size_t *outer, size_t *along, size_t *inner) {
  *outer = *inner = 1;
  *along = size(c, shape(c, input), axis);
  for (uint32_t d = 0; d < shape(c, input)->rank; d++)
    *(d < axis ? outer : inner) *= d == axis ? 1 : size(c, shape(c, input), d);
}
static uint32_t get_axis(const context *c) {
  const int64_t axis = integer(c, "axis");
  return (uint32_t)(axis < 0 ? axis + shape(c, 0)->rank : axis);
}

/* ---- element by element -------------------------------------------------------------------------------------------------- */

static size_t find_broadcast(const context *c, uint32_t input, const size_t *index, uint32_t rank) {
  const pith_tensor *tensor = shape(c, input);
  size_t place = 0;
  for (uint32_t d = 0; d < tensor->rank; d++) {
    const size_t n = size(c, tensor, d);
    place = place * n + (n == 1 ? 0 : index[d + rank - tensor->rank]);
  }
  return place;
}

static void run_binary(const context *c) {
  const pith_tensor *y = &c->run->graph->tensors[c->node->outputs[0]];
  size_t index[PITH_MAX_RANK] = {0};
  for (size_t i = 0; i < out(c, 0)->count; i++) {
    const double a = values(c, 0)[find_broadcast(c, 0, index, y->rank)], b = values(c, 1)[find_broadcast(c, 1, index, y->rank)];
    out(c, 0)->values[i] = c->node->op->id == PITH_OP_ADD   ? a + b
                           : c->node->op->id == PITH_OP_SUB ? a - b
                           : c->node->op->id == PITH_OP_MUL ? a * b
                                                            : a / b;
    for (uint32_t d = y->rank; d-- > 0 && ++index[d] == size(c, y, d);)
      index[d] = 0;
  }
}

static double apply(const context *c, double x) {
  switch (c->node->op->id) {
  case PITH_OP_ERF:
    return erf(x);
  case PITH_OP_TANH:
    return tanh(x);
  case PITH_OP_SIGMOID:
    return 1 / (1 + exp(-x));
  case PITH_OP_RELU:
    return x > 0 ? x : 0;
  case PITH_OP_GELU:
    return integer(c, "approximate") == PITH_GELU_TANH ? x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)))
                                                       : x / 2 * (1 + erf(x / sqrt(2)));
  default:
    return x; /* Identity, and Cast among floats: its rounding has no derivative */
  }
}

static void run_unary(const context *c) {
  for (size_t i = 0; i < out(c, 0)->count; i++)
    out(c, 0)->values[i] = apply(c, values(c, 0)[i]);
}

/* ---- products -------------------------------------------------------------------------------------------------------------- */

static void multiply(const context *c, bool turn_a, bool turn_b, double alpha) {
  const size_t m = size(c, shape(c, 0), turn_a), k = size(c, shape(c, 0), !turn_a), n = size(c, shape(c, 1), !turn_b);
  const double *a = values(c, 0), *b = values(c, 1);
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      double sum = 0;
      for (size_t l = 0; l < k; l++)
        sum += a[turn_a ? l * m + i : i * k + l] * b[turn_b ? j * k + l : l * n + j];
      out(c, 0)->values[i * n + j] = alpha * sum;
    }
}

static void run_gemm(const context *c) {
  multiply(c, integer(c, "transA") != 0, integer(c, "transB") != 0, number(c, "alpha"));
  const size_t n = size(c, &c->run->graph->tensors[c->node->outputs[0]], 1);
  for (size_t i = 0; has(c, 2) && i < out(c, 0)->count; i++)
    out(c, 0)->values[i] += number(c, "beta") * values(c, 2)[find_broadcast(c, 2, (size_t[]){i / n, i % n}, 2)];
}

static void run_matmul(const context *c) {
  multiply(c, false, false, 1);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

static void run_gather(const context *c) {
  size_t outer, along, inner, count = in(c, 1)->count;
  split(c, 0, get_axis(c), &outer, &along, &inner);
  for (size_t o = 0; o < outer; o++)
    for (size_t i = 0; i < count; i++)
      for (size_t j = 0; j < inner; j++)
        out(c, 0)->values[(o * count + i) * inner + j] = values(c, 0)[(o * along + (size_t)get_index(c, 1, i)) * inner + j];
}

static void run_along_axis(const context *c) {
  size_t outer, along, inner;
  split(c, 0, get_axis(c), &outer, &along, &inner);
  const bool softmax = c->node->op->id == PITH_OP_SOFTMAX;
  const int64_t p = softmax ? 0 : integer(c, "p");
  for (size_t o = 0; o < outer * inner; o++) {
    const double *x = values(c, 0) + o / inner * along * inner + o % inner;
    double *y = out(c, 0)->values + o / inner * along * inner + o % inner, sum = 0;
    for (size_t i = 0; i < along; i++)
      sum += softmax ? exp(x[i * inner]) : p == 1 ? fabs(x[i * inner]) : x[i * inner] * x[i * inner];
    sum = softmax ? sum : fmax(p == 1 ? sum : sqrt(sum), 1e-12);
    for (size_t i = 0; i < along; i++)
      y[i * inner] = (softmax ? exp(x[i * inner]) : x[i * inner]) / sum;
  }
}

static void run_layer_norm(const context *c) {
  const size_t features = in(c, 1)->count, rows = in(c, 0)->count / features;
  for (size_t r = 0; r < rows; r++) {
    const double *x = values(c, 0) + r * features;
    double mean = 0, variance = 0;
    for (size_t i = 0; i < features; i++)
      mean += x[i] / (double)features;
    for (size_t i = 0; i < features; i++)
      variance += (x[i] - mean) * (x[i] - mean) / (double)features;
    for (size_t i = 0; i < features; i++)
      out(c, 0)->values[r * features + i] =
          (x[i] - mean) / sqrt(variance + number(c, "epsilon")) * values(c, 1)[i] + (has(c, 2) ? values(c, 2)[i] : 0);
  }
}

/* ---- sequences ------------------------------------------------------------------------------------------------------------- */

static void run_pool(const context *c) {
  const size_t features = size(c, shape(c, 0), 1), sequences = in(c, 1)->count - 1;
  for (size_t s = 0; s < sequences; s++)
    for (size_t f = 0; f < features; f++) {
      const size_t begin = (size_t)get_index(c, 1, s), end = (size_t)get_index(c, 1, s + 1);
      double sum = 0, most = -DBL_MAX;
      for (size_t t = begin; t < end; t++) {
        const double x = values(c, 0)[t * features + f];
        sum += x;
        most = x > most ? x : most;
      }
      const int64_t mode = integer(c, "mode");
      out(c, 0)->values[s * features + f] = mode == PITH_POOL_MEAN  ? sum / (double)(end - begin)
                                            : mode == PITH_POOL_MAX ? most
                                                                    : values(c, 0)[(mode == PITH_POOL_CLS ? begin : end - 1) * features + f];
    }
}

static pith_dropout get_dropout(const context *c, uint32_t key) {
  return (pith_dropout){(float)number(c, "ratio"), (uint32_t)integer(c, "operator"), has(c, key) ? in(c, key)->bytes : NULL};
}

/* What the plain kernel makes of ones: tests/ops holds the mask itself. */
static void run_dropout(const context *c) {
  const size_t count = in(c, 0)->count, features = size(c, shape(c, 0), 1);
  float *ones = malloc(count * sizeof *ones);
  for (size_t i = 0; i < count; i++)
    ones[i] = 1;
  const pith_dropout_f32_args args = {.x = ones,
                                      .y = ones,
                                      .rows = count / features,
                                      .features = features,
                                      .offsets = has(c, 2) ? in(c, 2)->bytes : NULL,
                                      .sequences = has(c, 2) ? in(c, 2)->count - 1 : 0,
                                      .dropout = get_dropout(c, 3)};
  pith_kernel_run_all(pith_dropout_f32_kernels[0], &args, NULL);
  for (size_t i = 0; i < count; i++)
    out(c, 0)->values[i] = (double)ones[i] * values(c, 0)[i] + (has(c, 1) ? values(c, 1)[i] : 0);
  free(ones);
}

/* The factors that dropout gives to the weights of one sequence and head: the plain kernel on scores that are all alike, with the rows
 * of the unit matrix for values. */
static void get_attention_mask(const context *c, size_t heads, size_t sequence, size_t queries, size_t keys, double *mask) {
  const int32_t *real = in(c, 3)->bytes, *real_kv = in(c, 4)->bytes;
  const size_t sequences = in(c, 3)->count - 1, q_tokens = (size_t)real[sequences], kv_tokens = (size_t)real_kv[sequences];
  float *q = calloc(q_tokens * heads + kv_tokens * heads + kv_tokens * heads * keys + q_tokens * heads * keys + q_tokens * heads * 2,
                    sizeof *q);
  float *k = q + q_tokens * heads, *v = k + kv_tokens * heads, *y = v + kv_tokens * heads * keys, *statistics = y + q_tokens * heads * keys;
  for (size_t t = 0; t < keys; t++)
    for (size_t h = 0; h < heads; h++)
      v[(((size_t)real_kv[sequence] + t) * heads + h) * keys + t] = 1;
  const pith_attention_train_f32_args args = {
      .attention = {.q = q, .k = k, .v = v, .y = y, .q_stride = heads, .k_stride = heads, .v_stride = heads * keys, .y_stride = heads * keys,
                    .q_offsets = real, .kv_offsets = real_kv, .sequences = sequences, .heads = heads, .head_size = 1, .value_size = keys,
                    .scale = 1, .max_keys = kv_tokens},
      .statistics = statistics,
      .dropout = get_dropout(c, 5)};
  const pith_kernel *kernel = pith_attention_train_f32_kernels[0];
  const size_t scratch_bytes = kernel->get_scratch_bytes == NULL ? 64 : kernel->get_scratch_bytes(&args) + 64;
  void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
  pith_kernel_run_all(kernel, &args, scratch);
  for (size_t i = 0; i < queries; i++)
    for (size_t h = 0; h < heads; h++)
      for (size_t t = 0; t < keys; t++)
        mask[(h * queries + i) * keys + t] = (double)y[(((size_t)real[sequence] + i) * heads + h) * keys + t] * (double)keys;
  free(scratch);
  free(q);
}

static void run_attention(const context *c) {
  const size_t heads = (size_t)integer(c, "num_heads"), width = size(c, shape(c, 0), 1), value_width = size(c, shape(c, 2), 1);
  const size_t head_size = width / heads, value_size = value_width / heads, sequences = in(c, 3)->count - 1;
  const double scale = number(c, "scale") == 0 ? 1 / sqrt((double)head_size) : number(c, "scale");
  double *y = out(c, 0)->values;
  memset(y, 0, out(c, 0)->count * sizeof *y);
  for (size_t s = 0; s < sequences; s++) {
    const size_t q0 = (size_t)get_index(c, 3, s), queries = (size_t)get_index(c, 3, s + 1) - q0;
    const size_t k0 = (size_t)get_index(c, 4, s), keys = (size_t)get_index(c, 4, s + 1) - k0;
    double *mask = calloc(heads * queries * keys, sizeof *mask), *p = malloc(keys * sizeof *p);
    get_attention_mask(c, heads, s, queries, keys, mask);
    for (size_t h = 0; h < heads; h++)
      for (size_t i = 0; i < queries; i++) {
        double sum = 0;
        for (size_t t = 0; t < keys; t++) {
          double score = 0;
          for (size_t f = 0; f < head_size; f++)
            score += values(c, 0)[(q0 + i) * width + h * head_size + f] * values(c, 1)[(k0 + t) * width + h * head_size + f];
          /* A query stands as far from the sequence's end as the last ones of the keys. */
          p[t] = integer(c, "causal") != 0 && t + queries > i + keys ? 0 : exp(scale * score);
          sum += p[t];
        }
        for (size_t t = 0; t < keys; t++)
          for (size_t f = 0; f < value_size; f++)
            y[(q0 + i) * value_width + h * value_size + f] +=
                p[t] / sum * mask[(h * queries + i) * keys + t] * values(c, 2)[(k0 + t) * value_width + h * value_size + f];
      }
    free(mask);
    free(p);
  }
}

static void run_positions(const context *c) {
  const int64_t start = integer(c, "start"), padding = integer(c, "padding_id");
  for (size_t s = 0; s + 1 < in(c, 0)->count; s++) {
    int64_t next = start;
    for (int64_t t = get_index(c, 0, s); t < get_index(c, 0, s + 1); t++) {
      const bool counts = padding < 0 || get_index(c, 1, (size_t)t) != padding;
      out(c, 0)->integers[t] = (int32_t)(counts ? next++ : start - 1);
    }
  }
}

/* ---- losses ---------------------------------------------------------------------------------------------------------------- */

/* log of the sum of exp(x[i * stride] / temperature) */
static double log_sum(const double *x, size_t count, size_t stride, double temperature) {
  double most = -DBL_MAX, sum = 0;
  for (size_t i = 0; i < count; i++)
    most = fmax(most, x[i * stride] / temperature);
  for (size_t i = 0; i < count; i++)
    sum += exp(x[i * stride] / temperature - most);
  return most + log(sum);
}

static void run_softmax_cross_entropy(const context *c) {
  const size_t classes = size(c, shape(c, 0), 1), rows = in(c, 1)->count;
  const double smoothing = number(c, "smoothing");
  double sum = 0, weight = 0;
  for (size_t r = 0; r < rows; r++) {
    const double *x = values(c, 0) + r * classes, all = log_sum(x, classes, 1, 1);
    const int64_t label = get_index(c, 1, r);
    if (label == -100)
      continue;
    const double w = has(c, 2) ? values(c, 2)[label] : 1;
    weight += w;
    sum += (1 - smoothing) * w * (all - x[label]);
    for (size_t i = 0; i < classes; i++)
      sum += smoothing / (double)classes * (has(c, 2) ? values(c, 2)[i] : 1) * (all - x[i]);
  }
  out(c, 0)->values[0] = weight == 0 ? 0 : sum / weight;
}

static void run_span_cross_entropy(const context *c) {
  const size_t columns = size(c, shape(c, 0), 1), sequences = in(c, 2)->count - 1;
  double sum = 0, count = 0;
  for (size_t s = 0; s < sequences; s++)
    for (size_t j = 0; j < columns; j++) {
      const int64_t label = get_index(c, 1, s * columns + j), begin = get_index(c, 2, s), end = get_index(c, 2, s + 1);
      if (label == -100)
        continue;
      count++;
      sum += log_sum(values(c, 0) + (size_t)begin * columns + j, (size_t)(end - begin), columns, 1) -
             values(c, 0)[(size_t)(begin + label) * columns + j];
    }
  out(c, 0)->values[0] = count == 0 ? 0 : sum / count;
}

static void run_targets(const context *c) {
  const size_t count = in(c, 0)->count;
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    const double x = values(c, 0)[i], target = values(c, 1)[i];
    sum += (int)c->node->op->id == PITH_OP_MEAN_SQUARED_ERROR ? (x - target) * (x - target) : log1p(exp(x)) - target * x;
  }
  out(c, 0)->values[0] = sum / (double)count;
}

static void run_cosine(const context *c) {
  const size_t features = size(c, shape(c, 0), 1), rows = in(c, 0)->count / features;
  double sum = 0;
  for (size_t r = 0; r < rows; r++) {
    const double *x = values(c, 0) + r * features, *z = values(c, 1) + r * features;
    double xx = 0, zz = 0, xz = 0;
    for (size_t i = 0; i < features; i++) {
      xx += x[i] * x[i];
      zz += z[i] * z[i];
      xz += x[i] * z[i];
    }
    const double cosine = xz / fmax(sqrt(xx), 1e-8) / fmax(sqrt(zz), 1e-8);
    sum += has(c, 2) ? (cosine - values(c, 2)[r]) * (cosine - values(c, 2)[r]) : 1 - cosine;
  }
  out(c, 0)->values[0] = sum / (double)rows;
}

static void run_kl(const context *c) {
  const size_t classes = size(c, shape(c, 0), 1), rows = in(c, 0)->count / classes;
  const double t = number(c, "temperature");
  double sum = 0;
  if (has(c, 2)) { /* over tokens */
    const size_t sequences = in(c, 2)->count - 1;
    for (size_t s = 0; s < sequences * classes; s++) {
      const size_t begin = (size_t)get_index(c, 2, s / classes), n = (size_t)get_index(c, 2, s / classes + 1) - begin;
      const double *x = values(c, 0) + begin * classes + s % classes, *teacher = values(c, 1) + begin * classes + s % classes;
      const double all_p = log_sum(x, n, classes, t), all_q = log_sum(teacher, n, classes, t);
      for (size_t i = 0; i < n * classes; i += classes)
        sum += t * t * exp(teacher[i] / t - all_q) * (teacher[i] / t - all_q - x[i] / t + all_p);
    }
    out(c, 0)->values[0] = sum / (double)(sequences * classes);
    return;
  }
  for (size_t r = 0; r < rows; r++) {
    const double *x = values(c, 0) + r * classes, *teacher = values(c, 1) + r * classes;
    const double all_p = log_sum(x, classes, 1, t), all_q = log_sum(teacher, classes, 1, t);
    for (size_t i = 0; i < classes; i++)
      sum += t * t * exp(teacher[i] / t - all_q) * (teacher[i] / t - all_q - x[i] / t + all_p);
  }
  out(c, 0)->values[0] = sum / (double)rows;
}

static void run_mean(const context *c) {
  double sum = 0;
  for (size_t i = 0; i < in(c, 0)->count; i++)
    sum += values(c, 0)[i];
  out(c, 0)->values[0] = sum / (double)in(c, 0)->count;
}

/* Of token i of a sequence, one number for each of its `n` tokens. */
static void get_relations(const context *c, uint32_t operand, const char *scale_name, size_t begin, size_t n, size_t i, size_t head, double *out) {
  const size_t heads = (size_t)integer(c, "num_heads"), width = size(c, shape(c, operand), 1), head_size = width / heads;
  const double scale = number(c, scale_name) == 0 ? 1 / sqrt((double)head_size) : number(c, scale_name);
  for (size_t j = 0; j < n; j++) {
    out[j] = 0;
    for (size_t f = head * head_size; f < (head + 1) * head_size; f++)
      out[j] += scale * values(c, operand)[(begin + i) * width + f] * values(c, operand + 1)[(begin + j) * width + f];
  }
}

static void run_relations(const context *c) {
  const size_t heads = (size_t)integer(c, "num_heads"), sequences = in(c, 4)->count - 1, tokens = (size_t)get_index(c, 4, sequences);
  double *s = malloc(2 * tokens * sizeof *s), *t = s + tokens;
  for (size_t sequence = 0; sequence < sequences; sequence++) {
    const size_t begin = (size_t)get_index(c, 4, sequence), n = (size_t)get_index(c, 4, sequence + 1) - begin;
    for (size_t i = 0; i < n * heads; i++) {
      double error = 0;
      get_relations(c, 0, "scale", begin, n, i / heads, i % heads, s);
      get_relations(c, 2, "teacher_scale", begin, n, i / heads, i % heads, t);
      const double all_p = log_sum(s, n, 1, 1), all_q = log_sum(t, n, 1, 1);
      for (size_t j = 0; j < n; j++)
        error += integer(c, "error") == PITH_RELATION_KL ? exp(t[j] - all_q) * (t[j] - all_q - s[j] + all_p)
                                                         : (s[j] - t[j]) * (s[j] - t[j]) / (double)n;
      out(c, 0)->values[begin * heads + i] = error;
    }
  }
  free(s);
}

/* ---- all of it --------------------------------------------------------------------------------------------------------------- */

static void (*const runners[PITH_TRAINING_OP_END])(const context *c) = {
    [PITH_OP_ADD] = run_binary,
    [PITH_OP_SUB] = run_binary,
    [PITH_OP_MUL] = run_binary,
    [PITH_OP_DIV] = run_binary,
    [PITH_OP_ERF] = run_unary,
    [PITH_OP_TANH] = run_unary,
    [PITH_OP_SIGMOID] = run_unary,
    [PITH_OP_RELU] = run_unary,
    [PITH_OP_GELU] = run_unary,
    [PITH_OP_CAST] = run_unary,
    [PITH_OP_IDENTITY] = run_unary,
    [PITH_OP_GATHER] = run_gather,
    [PITH_OP_GEMM] = run_gemm,
    [PITH_OP_MATMUL] = run_matmul,
    [PITH_OP_SOFTMAX] = run_along_axis,
    [PITH_OP_LAYER_NORMALIZATION] = run_layer_norm,
    [PITH_OP_LP_NORMALIZATION] = run_along_axis,
    [PITH_OP_PACKED_POSITIONS] = run_positions,
    [PITH_OP_SEQUENCE_POOL] = run_pool,
    [PITH_OP_DROPOUT] = run_dropout,
    [PITH_OP_TRAINING_ATTENTION] = run_attention,
    [PITH_OP_SOFTMAX_CROSS_ENTROPY] = run_softmax_cross_entropy,
    [PITH_OP_SPAN_CROSS_ENTROPY] = run_span_cross_entropy,
    [PITH_OP_SIGMOID_CROSS_ENTROPY] = run_targets,
    [PITH_OP_MEAN_SQUARED_ERROR] = run_targets,
    [PITH_OP_COSINE_LOSS] = run_cosine,
    [PITH_OP_KL_DIVERGENCE] = run_kl,
    [PITH_OP_MEAN] = run_mean,
    [PITH_OP_RELATION_ERRORS] = run_relations,
};

void double_graph_create(double_graph *run, const pith_graph *graph, const int64_t *symbols, const void *const *feeds) {
  *run = (double_graph){graph, graph->node_count, graph->tensor_count, symbols, calloc(graph->tensor_count, sizeof *run->tensors)};
  const context c = {run, NULL};
  for (pith_tensor_id t = 0; t < graph->tensor_count; t++) {
    const pith_tensor *tensor = &graph->tensors[t];
    double_tensor *to = &run->tensors[t];
    const void *data = tensor->data;
    to->count = 1;
    for (uint32_t d = 0; d < tensor->rank; d++)
      to->count *= size(&c, tensor, d);
    for (uint32_t i = 0; i < graph->input_count; i++)
      if (graph->inputs[i] == t)
        data = feeds[i];
    to->bytes = data;
    if (!pith_dtype_get_info(tensor->dtype)->is_float) {
      if (tensor->kind == PITH_TENSOR_VALUE)
        to->bytes = to->integers = calloc(to->count + 1, sizeof *to->integers);
      continue;
    }
    to->values = calloc(to->count + 1, sizeof *to->values);
    for (size_t i = 0; data != NULL && i < to->count; i++)
      to->values[i] = (double)((const float *)data)[i];
  }
}

void double_graph_destroy(double_graph *run) {
  for (pith_tensor_id t = 0; t < run->count; t++) {
    free(run->tensors[t].values);
    free(run->tensors[t].integers);
  }
  free(run->tensors);
}

void double_graph_run(double_graph *run) {
  for (pith_node_id n = 0; n < run->nodes; n++) {
    const context c = {run, &run->graph->nodes[n]};
    if (runners[c.node->op->id] == NULL)
      fail_msg("%s has no double form", c.node->op->name);
    runners[c.node->op->id](&c);
  }
}
