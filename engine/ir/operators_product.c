/* Products and table look-ups. */
#include "engine/ir/ir_internal.h"

/* C broadcasts to [m, n] in one direction: its rank is at most 2 and each dimension, from the last,
 * is 1 or equal. */
static bool broadcasts_to(const pith_tensor *c, const pith_dim *m, const pith_dim *n) {
  const pith_dim one = pith_dim_of(1);
  if (c->rank > 2)
    return false;
  if (c->rank >= 1) {
    const pith_dim *last = &c->dims[c->rank - 1];
    if (!pith_dim_equal(last, n) && !pith_dim_equal(last, &one))
      return false;
  }
  return c->rank < 2 || pith_dim_equal(&c->dims[0], m) || pith_dim_equal(&c->dims[0], &one);
}

static pith_status infer_gemm(pith_inference *inference, pith_error *error) {
  const pith_tensor *a = inference->inputs[0], *b = inference->inputs[1], *c = inference->inputs[2];
  bool trans_a = pith_inference_get_int(inference, "transA") != 0;
  bool trans_b = pith_inference_get_int(inference, "transB") != 0;
  if (a->rank != 2 || b->rank != 2)
    return pith_inference_fail(inference, error, "A %s and B %s must have rank 2",
                               pith_inference_shape(inference, 0).text,
                               pith_inference_shape(inference, 1).text);
  if (b->layout != PITH_LAYOUT_ROW_MAJOR && !trans_b)
    return pith_inference_fail(inference, error, "B '%s' in layout %s needs transB = 1", b->name,
                               pith_layout_get_name(b->layout));
  const pith_dim *m = &a->dims[trans_a], *ka = &a->dims[!trans_a];
  const pith_dim *kb = &b->dims[trans_b], *n = &b->dims[!trans_b];
  if (!pith_dim_equal(ka, kb))
    return pith_inference_fail(
        inference, error,
        "A %s (transA %d) and B %s (transB %d) differ in the dimension summed over",
        pith_inference_shape(inference, 0).text, trans_a, pith_inference_shape(inference, 1).text,
        trans_b);
  if (c != NULL && !broadcasts_to(c, m, n)) {
    pith_shape_text y;
    pith_text text = pith_text_of(y.text, sizeof y.text);
    const pith_dim dims[2] = {*m, *n};
    pith_text_add_shape(&text, inference->graph, 2, dims);
    return pith_inference_fail(inference, error, "C %s does not broadcast to %s",
                               pith_inference_shape(inference, 2).text, y.text);
  }
  inference->outputs[0].dtype = a->dtype;
  inference->outputs[0].rank = 2;
  inference->outputs[0].dims[0] = *m;
  inference->outputs[0].dims[1] = *n;
  return PITH_OK;
}

static pith_status infer_matmul(pith_inference *inference, pith_error *error) {
  const pith_tensor *a = inference->inputs[0], *b = inference->inputs[1];
  if (a->rank != 2 || b->rank != 2)
    return pith_inference_fail(inference, error, "A %s and B %s must have rank 2",
                               pith_inference_shape(inference, 0).text,
                               pith_inference_shape(inference, 1).text);
  if (!pith_dim_equal(&a->dims[1], &b->dims[0]))
    return pith_inference_fail(
        inference, error, "A %s and B %s differ in the dimension summed over",
        pith_inference_shape(inference, 0).text, pith_inference_shape(inference, 1).text);
  inference->outputs[0].dtype = a->dtype;
  inference->outputs[0].rank = 2;
  inference->outputs[0].dims[0] = a->dims[0];
  inference->outputs[0].dims[1] = b->dims[1];
  return PITH_OK;
}

static pith_status infer_gather(pith_inference *inference, pith_error *error) {
  const pith_tensor *data = inference->inputs[0], *indices = inference->inputs[1];
  uint32_t axis;
  if (data->rank == 0)
    return pith_inference_fail(inference, error, "data '%s' is a scalar, rank 1 or more is needed",
                               data->name);
  PITH_TRY(pith_inference_get_axis(inference, &axis, error));
  for (uint32_t i = axis == 0 ? 1 : axis; i < data->rank; i++)
    if (!pith_dim_is_constant(&data->dims[i]))
      return pith_inference_fail(inference, error,
                                 "data %s: dimension %u must be a number, with axis %u",
                                 pith_inference_shape(inference, 0).text, i, axis);
  uint32_t rank = data->rank - 1 + indices->rank;
  if (rank > PITH_MAX_RANK)
    return pith_inference_fail(inference, error, "data %s and indices %s give rank %u, over %d",
                               pith_inference_shape(inference, 0).text,
                               pith_inference_shape(inference, 1).text, rank, PITH_MAX_RANK);
  pith_dim *dims = inference->outputs[0].dims;
  memcpy(dims, data->dims, axis * sizeof *dims);
  memcpy(dims + axis, indices->dims, indices->rank * sizeof *dims);
  memcpy(dims + axis + indices->rank, data->dims + axis + 1,
         (data->rank - axis - 1) * sizeof *dims);
  inference->outputs[0].dtype = data->dtype;
  inference->outputs[0].rank = rank;
  return PITH_OK;
}

const pith_operator pith_operator_GEMM = {
    .id = PITH_OP_GEMM,
    .name = "Gemm",
    .domain = "",
    .version = 13,
    .doc = "Y = alpha A' B' + beta C, where A' is A or its transpose, and B' is B or its "
           "transpose. The product "
           "with weights as PyTorch keeps them, [outputs, inputs], has transB = 1.",
    .inputs = {{"A", F32, false, .doc = "[M, K], or [K, M] with transA"},
               {"B", F32, false, .doc = "[K, N], or [N, K] with transB",
                .layouts = 1 << PITH_LAYOUT_N64_F32 | 1 << PITH_LAYOUT_B4X1_F32},
               {"C", F32, true, .doc = "broadcasts to [M, N]"}},
    .outputs = {{"Y", F32, false, .doc = "[M, N]"}},
    .attributes =
        {{.name = "alpha",
          .type = PITH_ATTRIBUTE_FLOAT,
          .default_float = 1.0,
          .doc = "factor of the product"},
         {.name = "beta", .type = PITH_ATTRIBUTE_FLOAT, .default_float = 1.0, .doc = "factor of C"},
         {.name = "transA", .type = PITH_ATTRIBUTE_INT, .max_int = 1, .doc = "1: A is transposed"},
         {.name = "transB", .type = PITH_ATTRIBUTE_INT, .max_int = 1, .doc = "1: B is transposed"}},
    .infer = infer_gemm,
};

const pith_operator pith_operator_MATMUL = {
    .id = PITH_OP_MATMUL,
    .name = "MatMul",
    .domain = "",
    .version = 13,
    .doc = "Y = A B, for matrices.",
    .inputs = {{"A", F32, false, .doc = "[M, K]"}, {"B", F32, false, .doc = "[K, N]"}},
    .outputs = {{"Y", F32, false, .doc = "[M, N]"}},
    .infer = infer_matmul,
};

const pith_operator pith_operator_GATHER = {
    .id = PITH_OP_GATHER,
    .name = "Gather",
    .domain = "",
    .version = 13,
    .doc = "Slices of data along axis, chosen by indices: with axis = 0, output[i] = "
           "data[indices[i]]. An index "
           "outside data, negative ones included, is an error of the run that meets it. The "
           "dimensions of data "
           "behind axis are numbers, and so is axis itself unless it is the first.",
    .inputs = {{"data", ANY_DTYPE, false, .doc = "rank 1 or more"},
               {"indices", S32 | S64, false, .doc = "any shape"}},
    .outputs = {{"output", ANY_DTYPE, false,
                 .doc = "the shape of data with that of indices in place of axis"}},
    .attributes = {{.name = "axis",
                    .type = PITH_ATTRIBUTE_INT,
                    .default_int = 0,
                    .min_int = -PITH_MAX_RANK,
                    .max_int = PITH_MAX_RANK - 1,
                    .doc = "dimension of data that indices count; negative: from the last"}},
    .infer = infer_gather,
};
