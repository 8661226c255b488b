/* Every rule of the verifier, broken one by one in an otherwise valid graph: each must be refused
 * with a message that names the culprit. */
#include "tests/engine/ir_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pith_tensor *get_tensor(pith_graph *graph, const char *name) {
  pith_tensor_id id = pith_graph_find_tensor(graph, name);
  assert_int_not_equal(id, PITH_NONE);
  return &graph->tensors[id];
}
static pith_node *get_node(pith_graph *graph, const char *name) {
  for (uint32_t i = 0; i < graph->node_count; i++)
    if (strcmp(graph->nodes[i].name, name) == 0)
      return &graph->nodes[i];
  fail_msg("no node %s", name);
  return NULL;
}
static pith_attribute *get_attribute(pith_graph *graph, const char *node, const char *name) {
  return (pith_attribute *)(uintptr_t)pith_node_get_attribute(get_node(graph, node), name);
}

static char long_name[300];
static const pith_dim_term descending_terms[] = {{1, 1}, {0, 1}};
static const pith_dim_term zero_term = {0, 0}, huge_term = {0, INT64_C(1) << 31},
                           unknown_term = {2, 1};
static const pith_dim_term two_terms[] = {{0, 1}, {1, 1}};
static const pith_dim_term tokens_term = {0, 1}, sequences_term = {1, 1};
static pith_dim_term many_terms[PITH_MAX_DIM_TERMS + 1];

#define BREAK(function_name, statement)                                                            \
  static void function_name(pith_graph *graph) {                                                   \
    statement;                                                                                     \
  }
/* A tensor's layout, pattern and so on at once. */
static void set_sparse(pith_graph *graph, const char *name, pith_layout layout, uint64_t bytes) {
  get_tensor(graph, name)->layout = layout;
  get_tensor(graph, name)->data_bytes = bytes;
}
static void set_pattern(pith_graph *graph, const char *name, pith_pattern_kind kind, uint32_t outputs,
                        uint32_t inputs, uint64_t kept) {
  get_tensor(graph, name)->pattern = (pith_pattern){kind, outputs, inputs};
  get_tensor(graph, name)->kept = kept;
}
static void copy_sparse(pith_graph *graph, const char *name) {
  static const char *const any[] = {PITH_TARGET_ANY};
  static _Alignas(64) const uint8_t data[64];
  static const pith_tensor_copy copy = {PITH_LAYOUT_B4X1_F32, false, 1, any, data, 16};
  get_tensor(graph, name)->copies = &copy;
  get_tensor(graph, name)->copy_count = 1;
}
/* graph */
BREAK(no_name, graph->name = NULL)
BREAK(empty_name, graph->name = "")
BREAK(name_control, graph->name = "a\nb")
BREAK(too_many_tensors, graph->tensor_count = PITH_MAX_TENSORS + 1)
BREAK(too_many_nodes, graph->node_count = PITH_MAX_NODES + 1)
BREAK(too_many_symbols, graph->symbol_count = PITH_MAX_SYMBOLS + 1)
BREAK(too_many_inputs, graph->input_count = graph->tensor_count + 1)
BREAK(too_many_outputs, graph->output_count = graph->tensor_count + 1)
BREAK(lacks_tensors, graph->tensors = NULL)
BREAK(lacks_nodes, graph->nodes = NULL)
BREAK(lacks_symbols, graph->symbols = NULL)
BREAK(lacks_inputs, graph->inputs = NULL)
BREAK(lacks_outputs, graph->outputs = NULL)
BREAK(no_outputs, graph->output_count = 0)
/* sparse layouts and patterns; pooler.weight is f32 [8, 8] */
BREAK(sparse_short, set_sparse(graph, "pooler.weight", PITH_LAYOUT_B4X1_F32, 0))
BREAK(sparse_uneven, set_sparse(graph, "pooler.weight", PITH_LAYOUT_B4X1_F32, 16 + 21))
BREAK(sparse_long, set_sparse(graph, "pooler.weight", PITH_LAYOUT_B4X1_F32, 16 + 17 * 20))
BREAK(sparse_dtype, set_sparse(graph, "pooler.weight", PITH_LAYOUT_B4X1_S8, 48))
BREAK(sparse_rank, set_sparse(graph, "pooler.bias", PITH_LAYOUT_B4X1_F32, 16))
BREAK(sparse_value, set_sparse(graph, "pool", PITH_LAYOUT_B4X1_F32, 0))
BREAK(sparse_copy, copy_sparse(graph, "pooler.weight"))
BREAK(sparse_port, set_sparse(graph, "embeddings.words", PITH_LAYOUT_B4X1_F32, 64))
BREAK(pattern_unknown, set_pattern(graph, "pooler.weight", PITH_PATTERN_COUNT, 0, 0, 1))
BREAK(pattern_side, set_pattern(graph, "pooler.weight", PITH_PATTERN_BLOCK, 4, 257, 1))
BREAK(pattern_side_none, set_pattern(graph, "pooler.weight", PITH_PATTERN_BLOCK, 0, 1, 1))
BREAK(pattern_n_of_m, set_pattern(graph, "pooler.weight", PITH_PATTERN_N_OF_M, 4, 4, 1))
BREAK(pattern_head, set_pattern(graph, "pooler.weight", PITH_PATTERN_HEAD, 0, 0, 1))
BREAK(pattern_row_sides, set_pattern(graph, "pooler.weight", PITH_PATTERN_ROW, 1, 0, 1))
BREAK(pattern_rank, set_pattern(graph, "pooler.bias", PITH_PATTERN_ELEMENT, 0, 0, 1))
BREAK(pattern_value, set_pattern(graph, "pool", PITH_PATTERN_ELEMENT, 0, 0, 1))
BREAK(pattern_input, set_pattern(graph, "ids", PITH_PATTERN_ELEMENT, 0, 0, 1))
BREAK(pattern_kept, set_pattern(graph, "pooler.weight", PITH_PATTERN_BLOCK, 4, 1, 65))
BREAK(pattern_none_kept, set_pattern(graph, "pooler.weight", PITH_PATTERN_DENSE, 0, 0, 1))
/* names */
BREAK(symbol_null, graph->symbols[1] = NULL)
BREAK(symbol_digit, graph->symbols[1] = "1st")
BREAK(symbol_space, graph->symbols[1] = "a+b")
BREAK(symbol_twice, graph->symbols[1] = "tokens")
BREAK(tensor_null, get_tensor(graph, "logits")->name = NULL)
BREAK(tensor_empty, get_tensor(graph, "logits")->name = "")
BREAK(tensor_space, get_tensor(graph, "logits")->name = "lo gits")
BREAK(tensor_high, get_tensor(graph, "logits")->name = "lo\xc3\xa4")
BREAK(tensor_long, get_tensor(graph, "logits")->name = long_name)
BREAK(tensor_twice, get_tensor(graph, "logits")->name = "pooler.bias")
BREAK(node_null, get_node(graph, "pooler")->name = NULL)
BREAK(node_delete, get_node(graph, "pooler")->name = "a\x7f")
BREAK(node_twice, get_node(graph, "pooler")->name = "pool")
/* tensors */
BREAK(dtype_unknown, get_tensor(graph, "pool")->dtype = PITH_DTYPE_COUNT)
BREAK(dtype_negative, get_tensor(graph, "pool")->dtype = (pith_dtype)-1)
BREAK(layout_unknown, get_tensor(graph, "pooler.bias")->layout = PITH_LAYOUT_COUNT)
BREAK(kind_unknown, get_tensor(graph, "pooler.bias")->kind = (pith_tensor_kind)4)
BREAK(rank_nine, get_tensor(graph, "pool")->rank = 9)
BREAK(dim_zero, get_tensor(graph, "pool")->dims[1] = pith_dim_of(0))
BREAK(dim_negative, get_tensor(graph, "pool")->dims[1] = pith_dim_of(-8))
BREAK(dim_huge, get_tensor(graph, "pool")->dims[1] = pith_dim_of(INT64_C(1) << 31))
BREAK(dim_adds_huge, get_tensor(graph, "ids")->dims[0].constant = INT64_C(1) << 31)
BREAK(terms_null, get_tensor(graph, "pool")->dims[1] = ((pith_dim){.term_count = 1}))
BREAK(terms_many, get_tensor(graph, "pool")->dims[1] = ((pith_dim){
                      .term_count = PITH_MAX_DIM_TERMS + 1, .terms = many_terms}))
BREAK(terms_descend,
      get_tensor(graph, "pool")->dims[1] = ((pith_dim){.term_count = 2, .terms = descending_terms}))
BREAK(terms_zero,
      get_tensor(graph, "pool")->dims[1] = ((pith_dim){.term_count = 1, .terms = &zero_term}))
static const pith_dim_term falling_term = {0, -1};
BREAK(terms_fall, get_tensor(graph, "pool")->dims[1] =
                      ((pith_dim){.constant = 129, .term_count = 1, .terms = &falling_term}))
BREAK(terms_huge,
      get_tensor(graph, "pool")->dims[1] = ((pith_dim){.term_count = 1, .terms = &huge_term}))
BREAK(terms_symbol,
      get_tensor(graph, "pool")->dims[1] = ((pith_dim){.term_count = 1, .terms = &unknown_term}))
static void size_overflows(pith_graph *graph) {
  pith_tensor *tensor = get_tensor(graph, "type_ids");
  tensor->rank = 8;
  for (int i = 0; i < 8; i++)
    tensor->dims[i] = pith_dim_of(PITH_MAX_DIM);
}
static void data_overflows(pith_graph *graph) {
  pith_tensor *tensor = get_tensor(graph, "pooler.weight");
  tensor->dims[0] = tensor->dims[1] = pith_dim_of(PITH_MAX_DIM);
}
/* kinds */
BREAK(value_data, get_tensor(graph, "pool")->data = "x")
BREAK(value_bytes, get_tensor(graph, "pool")->data_bytes = 4)
BREAK(value_layout, get_tensor(graph, "pool")->layout = PITH_LAYOUT_N64_F32)
BREAK(value_producer, get_tensor(graph, "pool")->producer++)
BREAK(value_producer_none, get_tensor(graph, "pool")->producer = PITH_NONE)
BREAK(value_to_parameter, get_tensor(graph, "pool")->kind = PITH_TENSOR_PARAMETER)
BREAK(value_to_input, (get_tensor(graph, "pool")->kind = PITH_TENSOR_INPUT,
                       get_tensor(graph, "pool")->producer = PITH_NONE))
BREAK(input_data, get_tensor(graph, "ids")->data_bytes = 4)
BREAK(input_producer, get_tensor(graph, "ids")->producer = 0)
BREAK(input_unlisted, graph->input_count--)
BREAK(parameter_producer, get_tensor(graph, "pooler.bias")->producer = 0)
BREAK(parameter_symbolic, get_tensor(graph, "pooler.bias")->dims[0] = ((pith_dim){
                              .term_count = 1, .terms = &tokens_term}))
BREAK(parameter_short, get_tensor(graph, "pooler.bias")->data_bytes--)
BREAK(parameter_long, get_tensor(graph, "pooler.weight")->data_bytes += 64)
BREAK(parameter_layout, get_tensor(graph, "pooler.bias")->layout = PITH_LAYOUT_N64_F32)
BREAK(weight_layout_dtype, get_tensor(graph, "pooler.weight")->layout = PITH_LAYOUT_N16K4_S8)
BREAK(weight_layout_rank, get_tensor(graph, "quantized.weight")->rank = 1)
BREAK(weight_layout_inputs, get_tensor(graph, "quantized.weight")->dims[1] = pith_dim_of(65537))
BREAK(weight_layout_bytes, get_tensor(graph, "quantized.weight")->data_bytes = 64)
BREAK(weight_layout_overflow, pith_tensor *weight = get_tensor(graph, "quantized.weight");
      weight->dims[0] = pith_dim_of(PITH_MAX_DIM);
      weight->dims[1] = pith_dim_of(65536))
BREAK(zero_point_dtype, get_tensor(graph, "quantized.zero_point")->dtype = PITH_DTYPE_S8)
BREAK(levels_dtype, get_attribute(graph, "quantized.dynamic", "dtype")->i = PITH_DTYPE_S8)
BREAK(block_huge, get_attribute(graph, "quantized.dynamic", "block_size")->i = INT64_C(1) << 31)
BREAK(block_unlike, get_attribute(graph, "quantized.dynamic", "block_size")->i = 5)
BREAK(output_dtype_range,
      get_attribute(graph, "quantized.static", "output_dtype")->i = PITH_DTYPE_COUNT)
/* An optional input that is there: without, it is absent. */
static void optional_offsets_range(pith_graph *graph) {
  static pith_tensor_id inputs[2];
  pith_node *node = get_node(graph, "quantized.dynamic");
  inputs[0] = node->inputs[0];
  inputs[1] = graph->tensor_count;
  node->inputs = inputs;
  node->input_count = 2;
}
BREAK(parameter_aligned, get_tensor(graph, "pooler.bias")->data = (const void *)(uintptr_t)4128)
BREAK(parameter_to_value, (get_tensor(graph, "pooler.bias")->kind = PITH_TENSOR_VALUE,
                           get_tensor(graph, "pooler.bias")->data_bytes = 0))
/* inputs, outputs, symbols */
BREAK(input_range, graph->inputs[1] = graph->tensor_count)
BREAK(input_kind, graph->inputs[1] = pith_graph_find_tensor(graph, "pool"))
BREAK(input_twice, graph->inputs[1] = graph->inputs[0])
BREAK(output_range, graph->outputs[1] = PITH_NONE)
BREAK(output_kind, graph->outputs[1] = pith_graph_find_tensor(graph, "ids"))
BREAK(output_twice, graph->outputs[1] = graph->outputs[0])
BREAK(symbol_unbound, get_tensor(graph, "offsets")->dims[0] = ((pith_dim){
                          .constant = 1, .term_count = 2, .terms = two_terms}))
/* nodes */
BREAK(op_null, get_node(graph, "pooler")->op = NULL)
static void op_copy(pith_graph *graph) {
  static pith_operator copy;
  copy = *pith_operator_get(PITH_OP_GEMM);
  get_node(graph, "pooler")->op = &copy;
}
BREAK(op_other, get_node(graph, "pooler")->op = pith_operator_get(PITH_OP_TANH))
BREAK(node_inputs_many, get_node(graph, "pooler")->input_count = 4)
BREAK(node_inputs_few, get_node(graph, "pooler")->input_count = 1)
BREAK(node_inputs_null, get_node(graph, "pooler")->inputs = NULL)
BREAK(node_outputs_none, get_node(graph, "pooler")->output_count = 0)
BREAK(node_outputs_many, get_node(graph, "pooler")->output_count = 2)
BREAK(node_outputs_null, get_node(graph, "pooler")->outputs = NULL)
BREAK(node_attributes_null, get_node(graph, "pooler")->attributes = NULL)
BREAK(node_input_absent, get_node(graph, "pooler")->inputs[1] = PITH_NONE)
BREAK(node_input_range, get_node(graph, "pooler")->inputs[1] = graph->tensor_count)
BREAK(node_input_dtype, get_node(graph, "pooler")->inputs[0] = pith_graph_find_tensor(graph, "ids"))
BREAK(node_input_layout,
      get_node(graph, "rotated")->inputs[1] = pith_graph_find_tensor(graph, "pooler.weight"))
BREAK(node_output_range, get_node(graph, "pooler")->outputs[0] = graph->tensor_count)
BREAK(node_output_kind,
      get_node(graph, "pooler")->outputs[0] = pith_graph_find_tensor(graph, "pooler.bias"))
BREAK(node_output_twice,
      get_node(graph, "pooler")->outputs[0] = pith_graph_find_tensor(graph, "pool"))
BREAK(node_reads_itself,
      get_node(graph, "pooler")->inputs[0] = pith_graph_find_tensor(graph, "pooler"))
BREAK(node_reads_later,
      get_node(graph, "pooler")->inputs[0] = pith_graph_find_tensor(graph, "squared"))
static void nodes_swapped(pith_graph *graph) {
  pith_node *a = get_node(graph, "pooler"), *b = get_node(graph, "pool"), swap = *a;
  *a = *b;
  *b = swap;
}
BREAK(value_unwritten, graph->node_count--)
/* attributes */
BREAK(attribute_type, get_attribute(graph, "pooler", "transB")->type = PITH_ATTRIBUTE_FLOAT)
BREAK(attribute_low, get_attribute(graph, "pooler", "transB")->i = -1)
BREAK(attribute_high, get_attribute(graph, "layer.0.attention", "num_heads")->i = 65537)
BREAK(attribute_nan, get_attribute(graph, "pooler", "alpha")->f = NAN)
BREAK(attribute_infinite, get_attribute(graph, "layer.0.norm", "epsilon")->f = (double)INFINITY)
BREAK(attribute_enum, get_attribute(graph, "pool", "mode")->i = INT64_MAX)
BREAK(attribute_dtype, get_attribute(graph, "types", "to")->i = -1)
/* inference */
BREAK(stored_dtype, get_tensor(graph, "pooler")->dtype = PITH_DTYPE_S8)
BREAK(stored_rank, get_tensor(graph, "pooler")->rank = 1)
BREAK(stored_dim, get_tensor(graph, "pooler")->dims[1] = pith_dim_of(9))
BREAK(stored_symbol,
      get_tensor(graph, "pooler")->dims[0] = ((pith_dim){.term_count = 1, .terms = &tokens_term}))
BREAK(shapes_differ,
      get_node(graph, "layer.0.residual")->inputs[1] = pith_graph_find_tensor(graph,
                                                                              "layer.0.gelu"))
BREAK(heads_differ, get_attribute(graph, "layer.0.attention", "num_heads")->i = 3)
BREAK(sequences_zero, get_tensor(graph, "offsets")->dims[0] = pith_dim_of(1))
BREAK(offsets_computed,
      get_node(graph, "pool")->inputs[1] = pith_graph_find_tensor(graph, "positions"))
BREAK(offsets_rows, get_node(graph, "positions")->inputs[1] = graph->inputs[2])
BREAK(offsets_unlike,
      get_tensor(graph, "ids")->dims[0] = ((pith_dim){.term_count = 1, .terms = &sequences_term}))

typedef struct broken_case {
  const char *name;
  void (*break_graph)(pith_graph *graph);
  const char *message; /* a part of it */
} broken_case;
#define CASE(name, message)                                                                        \
  { #name, name, message }
static const broken_case cases[] = {
    CASE(no_name, "the graph has a name that is not 1 to 255 bytes"),
    CASE(empty_name, "the graph has a name"),
    CASE(name_control, "the graph has a name"),
    CASE(too_many_tensors, "1048577 tensors, over 1048576"),
    CASE(too_many_nodes, "8193 nodes, over 8192"),
    CASE(too_many_symbols, "1025 symbols, over 1024"),
    CASE(too_many_inputs, "inputs, over"),
    CASE(too_many_outputs, "outputs, over"),
    CASE(lacks_tensors, "lacks its"),
    CASE(lacks_nodes, "nodes"),
    CASE(lacks_symbols, "lacks its 2 symbols"),
    CASE(lacks_inputs, "lacks its 3 inputs"),
    CASE(lacks_outputs, "lacks its 3 outputs"),
    CASE(no_outputs, "no output"),
    CASE(symbol_null, "symbol 1 has a name"),
    CASE(symbol_digit, "symbol 1 has a name"),
    CASE(symbol_space, "symbol 1 has a name"),
    CASE(symbol_twice, "two symbols are named 'tokens'"),
    CASE(tensor_null, "has a name that is not"),
    CASE(tensor_empty, "has a name that is not"),
    CASE(tensor_space, "has a name that is not"),
    CASE(tensor_high, "has a name that is not"),
    CASE(tensor_long, "has a name that is not"),
    CASE(tensor_twice, "two tensors are named 'pooler.bias'"),
    CASE(node_null, "node 21 has a name"),
    CASE(node_delete, "node 21 has a name"),
    CASE(node_twice, "two nodes are named 'pool'"),
    CASE(dtype_unknown, "tensor 'pool': dtype 9 is not in the table of 9"),
    CASE(dtype_negative, "tensor 'pool': dtype -1"),
    CASE(layout_unknown, "'pooler.bias': layout 6 is not"),
    CASE(kind_unknown, "'pooler.bias': kind 4"),
    CASE(rank_nine, "'pool': rank 9 is over 8"),
    CASE(dim_zero, "'pool': dimension 1 is 0, not in 1 .. 2147483647"),
    CASE(dim_negative, "'pool': dimension 1 is -8"),
    CASE(dim_huge, "'pool': dimension 1 is 2147483648"),
    CASE(dim_adds_huge, "'ids': dimension 0 adds 2147483648"),
    CASE(terms_null, "'pool': dimension 1 has no terms"),
    CASE(terms_many, "'pool': dimension 1 has 17 terms, over 16"),
    CASE(terms_descend, "'pool': dimension 1 has symbol 0 after 1"),
    CASE(terms_zero, "'pool': dimension 1 has coefficient 0"),
    CASE(terms_fall, "'pool': dimension 1 has coefficient -1, not in 1 .. 2147483647"),
    CASE(terms_huge, "'pool': dimension 1 has coefficient 2147483648"),
    CASE(terms_symbol, "'pool': dimension 1 names symbol 2 of 2"),
    CASE(size_overflows, "'type_ids' takes more than 17592186044416 bytes"),
    CASE(data_overflows, "'pooler.weight' takes more than 17592186044416 bytes"),
    CASE(value_data, "value 'pool' has data"),
    CASE(value_bytes, "value 'pool' has data"),
    CASE(value_layout, "value 'pool' has data or a layout"),
    CASE(value_producer, "writes 'pool', which names node 21, not 20"),
    CASE(value_producer_none, "writes 'pool', which names node 4294967295"),
    CASE(value_to_parameter, "parameter 'pool' names node 20 as its producer"),
    CASE(value_to_input, "input 'pool' is not in the graph's list of inputs"),
    CASE(input_data, "input 'ids' has data"),
    CASE(input_producer, "input 'ids' names node 0"),
    CASE(input_unlisted, "input 'offsets' is not in the graph's list"),
    CASE(parameter_producer, "parameter 'pooler.bias' names node 0"),
    CASE(parameter_symbolic,
         "parameter 'pooler.bias' is [tokens], its dimension 0 must be a number"),
    CASE(parameter_short,
         "parameter 'pooler.bias': it has 31 bytes of data, its shape in layout row_major takes 32"),
    CASE(parameter_long,
         "parameter 'pooler.weight': it has 576 bytes of data, its shape in layout n64_f32 takes 512"),
    CASE(parameter_layout, "parameter 'pooler.bias': layout n64_f32 takes f32 of rank 2"),
    CASE(weight_layout_dtype,
         "parameter 'pooler.weight': layout n16k4_s8 takes s8 of rank 2, not f32 of rank 2"),
    CASE(weight_layout_rank,
         "parameter 'quantized.weight': layout n16k4_s8 takes s8 of rank 2, not s8 of rank 1"),
    CASE(weight_layout_inputs,
         "parameter 'quantized.weight': layout n16k4_s8 takes 65536 inputs at most, not 65537"),
    CASE(weight_layout_bytes,
         "'quantized.weight': it has 64 bytes of data, its shape in layout n16k4_s8 takes 192"),
    CASE(weight_layout_overflow, "'quantized.weight' takes more than"),
    CASE(sparse_short,
         "'pooler.weight': it has 0 bytes of data, its shape in layout b4x1_f32 takes 16 and 0 to 16 times 20"),
    CASE(sparse_uneven, "'pooler.weight': it has 37 bytes of data"),
    CASE(sparse_long, "'pooler.weight': it has 356 bytes of data"),
    CASE(sparse_dtype, "'pooler.weight': layout b4x1_s8 takes s8 of rank 2, not f32 of rank 2"),
    CASE(sparse_rank, "'pooler.bias': layout b4x1_f32 takes f32 of rank 2, not f32 of rank 1"),
    CASE(sparse_value, "value 'pool' has data or a layout"),
    CASE(sparse_copy, "a copy of 'pooler.weight' cannot be in layout b4x1_f32"),
    CASE(sparse_port, "'embeddings.words' cannot be in layout b4x1_f32"),
    CASE(pattern_unknown, "'pooler.weight': pattern 8 is not in the table of 8"),
    CASE(pattern_side, "'pooler.weight': a block has sides of 1 to 256, not 4 x 257"),
    CASE(pattern_side_none, "'pooler.weight': a block has sides of 1 to 256, not 0 x 1"),
    CASE(pattern_n_of_m, "'pooler.weight': N:M keeps 1 to M - 1 of M inputs, M at most 256, not 4:4"),
    CASE(pattern_head, "'pooler.weight': pattern head takes a number of outputs or of inputs"),
    CASE(pattern_row_sides, "'pooler.weight': pattern row has no sides, not 1 and 0"),
    CASE(pattern_rank, "parameter 'pooler.bias', f32 of rank 1, has a pattern"),
    CASE(pattern_value, "value 'pool', f32 of rank 2, has a pattern"),
    CASE(pattern_input, "input 'ids', s32 of rank 1, has a pattern"),
    CASE(pattern_kept, "'pooler.weight' keeps 65 elements of 64"),
    CASE(pattern_none_kept, "'pooler.weight' keeps 1 elements of no pattern"),
    CASE(zero_point_dtype, "y_zero_point 'quantized.zero_point' is s8, not u8"),
    CASE(levels_dtype, "'quantized.dynamic.0' is stored as u8, inference gives s8"),
    CASE(block_huge, "(DynamicQuantize): attribute 'block_size' is 2147483648, not in 0"),
    CASE(block_unlike, "(DynamicQuantize): block_size 5 does not divide the features"),
    CASE(output_dtype_range, "(QuantizeLinear): attribute 'output_dtype' is dtype 9 of 9"),
    CASE(optional_offsets_range, "(DynamicQuantize): input offsets is tensor"),
    CASE(parameter_aligned,
         "parameter 'pooler.bias': its data lies 32 bytes past a multiple of 64"),
    CASE(parameter_to_value, "'pooler.bias', which no node before it writes"),
    CASE(input_range, "input 1 is tensor"),
    CASE(input_kind, "input 1 'pool' is not of kind input"),
    CASE(input_twice, "'ids' is an input twice"),
    CASE(output_range, "output 1 is tensor 4294967295"),
    CASE(output_kind, "output 1 'ids' is of kind input, it must be written by a node"),
    CASE(output_twice, "'logits' is an output twice"),
    CASE(symbol_unbound, "symbol 'sequences' gets no value"),
    CASE(op_null, "node 'pooler' has no operator of the table"),
    CASE(op_copy, "node 'pooler' has no operator of the table"),
    CASE(op_other, "node 'pooler' (Tanh) has 3 inputs, at most 1"),
    CASE(node_inputs_many, "node 'pooler' (Gemm) has 4 inputs, at most 3"),
    CASE(node_inputs_few, "node 'pooler' (Gemm): input B is missing"),
    CASE(node_inputs_null, "node 'pooler' (Gemm) lacks its inputs"),
    CASE(node_outputs_none, "node 'pooler' (Gemm) has 0 outputs, not 1"),
    CASE(node_outputs_many, "node 'pooler' (Gemm) has 2 outputs, not 1"),
    CASE(node_outputs_null, "node 'pooler' (Gemm) lacks"),
    CASE(node_attributes_null, "node 'pooler' (Gemm) lacks"),
    CASE(node_input_absent, "node 'pooler' (Gemm): input B is missing"),
    CASE(node_input_range, "node 'pooler' (Gemm): input B is tensor"),
    CASE(node_input_dtype, "node 'pooler' (Gemm): input A 'ids' is s32, accepted: f32"),
    CASE(node_input_layout,
         "node 'rotated' (MatMul): input B 'pooler.weight' cannot be in layout n64_f32"),
    CASE(node_output_range, "node 'pooler' (Gemm): output Y is tensor"),
    CASE(node_output_kind, "node 'pooler' (Gemm) writes 'pooler.bias', which is of kind parameter"),
    CASE(node_output_twice, "node 'pooler' (Gemm) writes 'pool', which is written before"),
    CASE(node_reads_itself, "node 'pooler' (Gemm) reads 'pooler', which no node before it writes"),
    CASE(node_reads_later, "node 'pooler' (Gemm) reads 'squared', which no node before it writes"),
    CASE(nodes_swapped, "node 'pooler' (Gemm) reads 'pool', which no node before it writes"),
    CASE(value_unwritten, "value 'vector' is written by no node"),
    CASE(attribute_type, "node 'pooler' (Gemm): attribute 'transB' has type 1, not 0"),
    CASE(attribute_low, "node 'pooler' (Gemm): attribute 'transB' is -1, not in 0 .. 1"),
    CASE(attribute_high, "(PackedAttention): attribute 'num_heads' is 65537, not in 1 .. 65536"),
    CASE(attribute_nan, "node 'pooler' (Gemm): attribute 'alpha' is not finite"),
    CASE(attribute_infinite,
         "node 'layer.0.norm' (LayerNormalization): attribute 'epsilon' is not finite"),
    CASE(attribute_enum,
         "node 'pool' (SequencePool): attribute 'mode' is 9223372036854775807 of 4"),
    CASE(attribute_dtype, "node 'types' (Cast): attribute 'to' is dtype -1"),
    CASE(stored_dtype, "node 'pooler' (Gemm): 'pooler' is stored as s8, inference gives f32"),
    CASE(stored_rank, "'pooler' is stored as [sequences], inference gives [sequences, 8]"),
    CASE(stored_dim, "'pooler' is stored as [sequences, 9], inference gives [sequences, 8]"),
    CASE(stored_symbol, "'pooler' is stored as [tokens, 8], inference gives [sequences, 8]"),
    CASE(shapes_differ,
         "node 'layer.0.residual' (Add): A [tokens, 8] and B [tokens, 12] do not broadcast"),
    CASE(heads_differ,
         "node 'layer.0.attention' (PackedAttention): query 'layer.0.query' is [tokens, 8]"),
    CASE(sequences_zero, "symbol 'sequences' gets no value"),
    CASE(offsets_computed, "node 'pool' (SequencePool): offsets 'positions' is a value, offsets "
                           "must be a graph input"),
    CASE(offsets_rows,
         "node 'positions' (PackedPositions): ids 'offsets' is [sequences + 1], rows that offsets"),
    CASE(offsets_unlike, "sequences"),
};

static void test_every_rule(void **state) {
  (void)state;
  memset(long_name, 'n', PITH_MAX_NAME_BYTES + 1);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_error error = {0};
    pith_graph *graph = fixture_build_bert(NULL, 1, &error);
    assert_non_null(graph);
    assert_int_equal(pith_graph_verify(graph, &error), PITH_OK);
    cases[i].break_graph(graph);
    pith_status status = pith_graph_verify(graph, &error);
    if (status != PITH_FORMAT || error.status != status ||
        strstr(error.message, cases[i].message) == NULL)
      fail_msg("%s: status %d, \"%s\" lacks \"%s\"", cases[i].name, status, error.message,
               cases[i].message);
    assert_int_equal(pith_graph_verify(graph, NULL), PITH_FORMAT); /* without a message to write */
    pith_graph_destroy(graph);
  }
}

static void test_limits_are_accepted(void **state) {
  (void)state;
  pith_error error = {0};
  pith_graph *graph = fixture_build_bert(NULL, 1, &error);
  assert_non_null(graph);
  memset(long_name, 'n', PITH_MAX_NAME_BYTES);
  long_name[PITH_MAX_NAME_BYTES] = '\0';
  get_tensor(graph, "logits")->name = long_name;
  get_node(graph, "pooler")->name = "!~";
  graph->name = "a name";
  get_tensor(graph, "pooler.bias")->data =
      (const void *)(uintptr_t)4096; /* verifying reads no data */
  assert_int_equal(pith_graph_verify(graph, &error), PITH_OK);
  pith_graph_destroy(graph);
}

/* Names that a hash table or a naive quick sort would meet badly: still quick, and the double is
 * found. */
static void test_many_nodes(void **state) {
  (void)state;
  enum { NODES = PITH_MAX_NODES };
  pith_error error = {0};
  pith_graph *graph;
  pith_builder builder;
  assert_int_equal(pith_graph_create(NULL, "long", &graph, &error), PITH_OK);
  pith_builder_init(&builder, graph, &error);
  const pith_dim dims[2] = {pith_build_dim(&builder, "tokens", 1, 0), pith_dim_of(4)};
  pith_tensor_id x = pith_build_input(&builder, "x", PITH_DTYPE_F32, 2, dims);
  for (int i = 0; i < NODES; i++)
    x = pith_build_node(&builder, NULL, PITH_OP_TANH, 1, &x, 0, NULL);
  pith_build_output(&builder, x, "y");
  assert_int_equal(pith_builder_finish(&builder), PITH_OK);
  graph->nodes[NODES - 1].name = graph->nodes[NODES / 2].name;
  assert_int_equal(pith_graph_verify(graph, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "two nodes are named 'Tanh_4096'"));
  pith_graph_destroy(graph);
}

int main(void) {
  for (uint32_t i = 0; i <= PITH_MAX_DIM_TERMS; i++)
    many_terms[i] = (pith_dim_term){i, 1};
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_rule),
      cmocka_unit_test(test_limits_are_accepted),
      cmocka_unit_test(test_many_nodes),
  };
  return cmocka_run_group_tests_name("ir_verify", tests, NULL, NULL);
}
