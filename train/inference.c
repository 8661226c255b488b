#include "train/inference.h"

#include <string.h>

static const char *port_name(const pith_inference *inference, uint32_t input) {
  return inference->node->op->inputs[input].name;
}

pith_status pith_inference_check_same(const pith_inference *inference, uint32_t a, uint32_t b, pith_error *error) {
  const pith_tensor *x = inference->inputs[a], *y = inference->inputs[b];
  bool same = x->rank == y->rank;
  for (uint32_t d = 0; same && d < x->rank; d++)
    same = pith_dim_equal(&x->dims[d], &y->dims[d]);
  return same ? PITH_OK
              : pith_inference_fail(inference, error, "%s %s and %s %s differ", port_name(inference, a),
                                    pith_inference_shape(inference, a).text, port_name(inference, b),
                                    pith_inference_shape(inference, b).text);
}

pith_status pith_inference_check_rank(const pith_inference *inference, uint32_t input, uint32_t rank, pith_error *error) {
  return inference->inputs[input]->rank == rank
             ? PITH_OK
             : pith_inference_fail(inference, error, "%s is %s, rank %u is needed", port_name(inference, input),
                                   pith_inference_shape(inference, input).text, rank);
}

pith_status pith_inference_check_dropout(const pith_inference *inference, uint32_t key, pith_error *error) {
  const double ratio = pith_inference_get_float(inference, "ratio");
  if (!(ratio >= 0 && ratio < 1))
    return pith_inference_fail(inference, error, "ratio is %g, not from 0 to below 1", ratio);
  if (inference->inputs[key] == NULL)
    return ratio == 0 ? PITH_OK : pith_inference_fail(inference, error, "%s is missing", port_name(inference, key));
  const pith_dim four = pith_dim_of(4);
  PITH_TRY(pith_inference_check_rank(inference, key, 1, error));
  return pith_dim_equal(&inference->inputs[key]->dims[0], &four)
             ? PITH_OK
             : pith_inference_fail(inference, error, "%s is %s, not [4]", port_name(inference, key),
                                   pith_inference_shape(inference, key).text);
}

void pith_inference_set_like(pith_inference *inference, uint32_t output, uint32_t input) {
  const pith_tensor *like = inference->inputs[input];
  inference->outputs[output].dtype = PITH_DTYPE_F32;
  inference->outputs[output].rank = like->rank;
  memcpy(inference->outputs[output].dims, like->dims, sizeof like->dims);
}
