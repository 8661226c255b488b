// From a model's plain structures to the FlatBuffer of its metadata. The bytes depend on nothing but the model.

#define FLATBUFFERS_ASSERT(condition) ((void)0)
#include <cmath>
#include <cstdint>
#include <cstring>

#include "engine/format/pith_generated.h"

extern "C" {
#include "engine/format/format_internal.h"
#include "engine/format/names.h"
#include "engine/ir/operator.h"
}

namespace {

namespace fb = flatbuffers;
namespace pf = pith::file;

#define TRY(expression)                                                                                    \
  do {                                                                                                     \
    const pith_status try_status = (expression);                                                           \
    if (try_status != PITH_OK)                                                                             \
      return try_status;                                                                                   \
  } while (0)

// Hands the builder its one block. The builder cannot be told that memory is out, so the block is made large enough for
// any model before it starts (see bound_bytes).
class Block final : public fb::Allocator {
public:
  explicit Block(void *memory) : memory_(static_cast<uint8_t *>(memory)) {
  }
  uint8_t *allocate(size_t) override {
    return memory_;
  }
  void deallocate(uint8_t *, size_t) override {
  }

private:
  uint8_t *memory_;
};

template <typename T> using Vector = fb::Offset<fb::Vector<T>>;
using Text = fb::Offset<fb::String>;

enum : uint32_t { max_shared = 64 };

struct Writer {
  const pith_model_data *data;
  fb::FlatBufferBuilder *builder;
  pith_arena *arena;
  pith_error *error;
  uint32_t operator_count;
  const pith_operator **operators; // those in use, in order of first use
  struct {
    const char *text;
    Text offset;
  } shared[max_shared]; // names written once: attributes and their values
  uint32_t shared_count;
  uint32_t next_copy_segment;
};

pith_status out_of_memory(const Writer &w) {
  return pith_fail(w.error, PITH_OUT_OF_MEMORY, "out of memory while writing the model");
}

template <typename T> pith_status new_array(Writer &w, size_t count, T **out) {
  *out = static_cast<T *>(pith_arena_array(w.arena, count, sizeof(T)));
  return *out == nullptr ? out_of_memory(w) : PITH_OK;
}

Text add_text(Writer &w, const char *text) {
  return w.builder->CreateString(text == nullptr ? "" : text);
}

Text add_shared(Writer &w, const char *text) {
  for (uint32_t i = 0; i < w.shared_count; i++)
    if (std::strcmp(w.shared[i].text, text) == 0)
      return w.shared[i].offset;
  const Text offset = add_text(w, text);
  if (w.shared_count < max_shared) {
    w.shared[w.shared_count].text = text;
    w.shared[w.shared_count++].offset = offset;
  }
  return offset;
}

// ---- an upper bound of the bytes --------------------------------------------------------------------------------

// A table has at most 20 fields here: 8 bytes each with padding, its share of vtables (2 each + 4), the builder's scratch
// (8 each), and 4 for the reference to it. Strings and vectors: a length, a terminator, padding and a reference.
enum : uint64_t { table_bytes = 20 * (8 + 2 + 8) + 24, vector_bytes = 32, fixed_bytes = 16 << 10 };

uint64_t text_bound(const char *text) {
  return vector_bytes + (text == nullptr ? 0 : std::strlen(text));
}

uint64_t node_bound(const pith_node &node) {
  uint64_t bytes = table_bytes + text_bound(node.name) + 3 * vector_bytes +
                   sizeof(uint32_t) * (uint64_t{node.input_count} + node.output_count);
  for (uint32_t i = 0; node.op->attributes[i].name != nullptr; i++) {
    const pith_attribute_row &row = node.op->attributes[i];
    bytes += table_bytes + text_bound(row.name) + 2 * vector_bytes;
    if (row.type == PITH_ATTRIBUTE_INTS)
      bytes += sizeof(int64_t) * uint64_t{node.attributes[i].ints.count};
    if (row.type == PITH_ATTRIBUTE_ENUM)
      bytes += text_bound(row.names[node.attributes[i].i]);
  }
  return bytes;
}

uint64_t graph_bound(const pith_graph &graph) {
  uint64_t bytes = text_bound(graph.name) + 16 * uint64_t{vector_bytes};
  for (uint32_t i = 0; i < graph.symbol_count; i++)
    bytes += text_bound(graph.symbols[i]);
  for (uint32_t i = 0; i < graph.tensor_count; i++) {
    const pith_tensor &tensor = graph.tensors[i];
    bytes += table_bytes + text_bound(tensor.name) + 2 * vector_bytes + sizeof(int64_t) * tensor.rank +
             vector_bytes + PITH_PATTERN_TEXT_BYTES;
    for (uint32_t d = 0; d < tensor.rank; d++)
      bytes += sizeof(pf::DimTerm) * uint64_t{tensor.dims[d].term_count};
    bytes += vector_bytes;
    for (uint32_t c = 0; c < tensor.copy_count; c++) {
      bytes += table_bytes + vector_bytes;
      for (uint32_t t = 0; t < tensor.copies[c].target_count; t++)
        bytes += text_bound(tensor.copies[c].targets[t]);
    }
  }
  for (uint32_t i = 0; i < graph.node_count; i++)
    bytes += node_bound(graph.nodes[i]);
  bytes += uint64_t{PITH_OP_COUNT} * (table_bytes + 4 * vector_bytes + 64);
  return bytes + sizeof(uint32_t) * (uint64_t{graph.input_count} + graph.output_count);
}

uint64_t tokenizer_bound(const pith_tokenizer_data &t) {
  return table_bytes + 16 * uint64_t{vector_bytes} + text_bound(t.continuing_prefix) + t.token_text_bytes +
         t.added_text_bytes +
         pith_token_blocks_round(t.token_count) +
         sizeof(uint32_t) * (uint64_t{t.token_start_count} + t.index_count + t.merge_word_count) +
         sizeof(pf::AddedToken) * uint64_t{t.added_count} +
         sizeof(pf::TemplatePiece) * (uint64_t{t.single_count} + t.pair_count);
}

uint64_t bound_bytes(const pith_model_data &data, uint32_t segment_count) {
  uint64_t bytes = fixed_bytes + graph_bound(*data.graph) + uint64_t{segment_count} * (table_bytes + 48) +
                   text_bound(data.architecture) + text_bound(data.config_json);
  for (uint32_t i = 0; i < data.label_count; i++)
    bytes += text_bound(data.labels[i]);
  for (uint32_t i = 0; i < data.history_count; i++)
    bytes += table_bytes + text_bound(data.history[i].step) + text_bound(data.history[i].version) +
             text_bound(data.history[i].json);
  for (uint32_t i = 0; i < data.report_count; i++)
    bytes += table_bytes + text_bound(data.report[i].task) + text_bound(data.report[i].metric);
  if (data.tokenizer != nullptr)
    bytes += tokenizer_bound(*data.tokenizer);
  return (bytes + 63) & ~uint64_t{63};
}

// ---- graph --------------------------------------------------------------------------------------------------------

// A table's names, `most` at most, in its own order: an index into it is then the row itself.
pith_status add_names(Writer &w, pith_format_names names, uint32_t most, Vector<Text> *out) {
  uint32_t count = 0;
  while (count < most && names(count) != nullptr)
    count++;
  Text *texts;
  TRY(new_array(w, count, &texts));
  for (uint32_t i = 0; i < count; i++)
    texts[i] = add_shared(w, names(i));
  *out = w.builder->CreateVector(texts, count);
  return PITH_OK;
}

pith_status add_texts(Writer &w, const char *const *from, uint32_t count, Vector<Text> *out) {
  Text *texts;
  TRY(new_array(w, count, &texts));
  for (uint32_t i = 0; i < count; i++)
    texts[i] = add_text(w, from[i]);
  *out = w.builder->CreateVector(texts, count);
  return PITH_OK;
}

// Layouts up to the last one in use: a reader that lacks a newer one is not troubled by files that do without.
uint32_t count_layouts(const pith_graph &graph) {
  uint32_t count = 1;
  for (uint32_t i = 0; i < graph.tensor_count; i++) {
    const pith_tensor &tensor = graph.tensors[i];
    count = tensor.layout < count ? count : tensor.layout + 1;
    for (uint32_t c = 0; c < tensor.copy_count; c++)
      count = tensor.copies[c].layout < count ? count : tensor.copies[c].layout + 1;
  }
  return count;
}

// The copies of one tensor; none: no vector.
Vector<fb::Offset<pf::Copy>> add_copies(Writer &w, const pith_tensor &tensor) {
  if (tensor.copy_count == 0)
    return 0;
  fb::Offset<pf::Copy> copies[PITH_MAX_COPIES];
  for (uint32_t c = 0; c < tensor.copy_count; c++) {
    const pith_tensor_copy &copy = tensor.copies[c];
    Text targets[PITH_MAX_COPIES];
    for (uint32_t t = 0; t < copy.target_count; t++)
      targets[t] = add_shared(w, copy.targets[t]);
    const Vector<Text> target_vector = w.builder->CreateVector(targets, copy.target_count);
    const uint32_t segment = copy.data_bytes == 0 ? PITH_NONE : w.next_copy_segment++;
    copies[c] = pf::CreateCopy(*w.builder, static_cast<uint16_t>(copy.layout), copy.transposed, target_vector,
                               segment, 0, copy.data_bytes);
  }
  return w.builder->CreateVector(copies, tensor.copy_count);
}

pith_status add_tensor(Writer &w, const pith_tensor &tensor, uint32_t segment, fb::Offset<pf::Tensor> *out) {
  int64_t dims[PITH_MAX_RANK];
  uint32_t term_count = 0, next = 0;
  for (uint32_t d = 0; d < tensor.rank; d++) {
    dims[d] = tensor.dims[d].constant;
    term_count += tensor.dims[d].term_count;
  }
  pf::DimTerm *terms;
  TRY(new_array(w, term_count, &terms));
  for (uint32_t d = 0; d < tensor.rank; d++)
    for (uint32_t t = 0; t < tensor.dims[d].term_count; t++)
      terms[next++] = pf::DimTerm(tensor.dims[d].terms[t].coefficient, d, tensor.dims[d].terms[t].symbol);
  const Text name = add_text(w, tensor.name);
  const Vector<int64_t> dim_vector = w.builder->CreateVector(dims, tensor.rank);
  const Vector<const pf::DimTerm *> term_vector =
      term_count == 0 ? 0 : w.builder->CreateVectorOfStructs(terms, term_count);
  const Vector<fb::Offset<pf::Copy>> copies = add_copies(w, tensor);
  Text pattern = 0;
  if (tensor.pattern.kind != PITH_PATTERN_DENSE) {
    char text[PITH_PATTERN_TEXT_BYTES];
    pith_pattern_format(&tensor.pattern, text);
    pattern = w.builder->CreateString(text);
  }
  *out = pf::CreateTensor(*w.builder, name, static_cast<uint16_t>(tensor.kind),
                          static_cast<uint16_t>(tensor.dtype), static_cast<uint16_t>(tensor.layout), dim_vector,
                          term_vector, segment, 0, segment == PITH_NONE ? 0 : tensor.data_bytes, copies, pattern,
                          tensor.kept);
  return PITH_OK;
}

fb::Offset<pf::Attribute> add_attribute(Writer &w, const pith_attribute_row &row, const pith_attribute &value) {
  const Text name = add_shared(w, row.name);
  Vector<int64_t> ints = 0;
  Text text = 0;
  pf::ValueKind kind = pf::ValueKind_Int;
  switch (row.type) {
  case PITH_ATTRIBUTE_INT:
    break;
  case PITH_ATTRIBUTE_FLOAT:
    kind = pf::ValueKind_Float;
    break;
  case PITH_ATTRIBUTE_INTS:
    kind = pf::ValueKind_Ints;
    ints = w.builder->CreateVector(value.ints.values, value.ints.count);
    break;
  case PITH_ATTRIBUTE_ENUM:
    kind = pf::ValueKind_Name;
    text = add_shared(w, row.names[value.i]);
    break;
  case PITH_ATTRIBUTE_DTYPE:
    kind = pf::ValueKind_Name;
    text = add_shared(w, pith_format_dtype_name(static_cast<size_t>(value.i)));
    break;
  }
  pf::AttributeBuilder attribute(*w.builder);
  // A value equal to the field's default is left out, and -0 equals 0.
  w.builder->ForceDefaults(kind == pf::ValueKind_Float);
  if (kind == pf::ValueKind_Int)
    attribute.add_int_(value.i);
  if (kind == pf::ValueKind_Float)
    attribute.add_float_(value.f);
  w.builder->ForceDefaults(false);
  attribute.add_ints(ints);
  attribute.add_text(text);
  attribute.add_name(name);
  attribute.add_kind(kind);
  return attribute.Finish();
}

pith_status add_node(Writer &w, const pith_node &node, fb::Offset<pf::Node> *out) {
  fb::Offset<pf::Attribute> attributes[PITH_MAX_ATTRIBUTES];
  uint32_t count = 0;
  for (; node.op->attributes[count].name != nullptr; count++)
    attributes[count] = add_attribute(w, node.op->attributes[count], node.attributes[count]);
  uint32_t op = 0;
  while (op < w.operator_count && w.operators[op] != node.op)
    op++;
  if (op == w.operator_count)
    w.operators[w.operator_count++] = node.op;
  const Text name = add_text(w, node.name);
  const Vector<uint32_t> inputs = w.builder->CreateVector(node.inputs, node.input_count);
  const Vector<uint32_t> outputs = w.builder->CreateVector(node.outputs, node.output_count);
  const Vector<fb::Offset<pf::Attribute>> attribute_vector = w.builder->CreateVector(attributes, count);
  *out = pf::CreateNode(*w.builder, name, op, inputs, outputs, attribute_vector);
  return PITH_OK;
}

pith_status add_graph(Writer &w, const uint32_t *tensor_segments, fb::Offset<pf::Graph> *out) {
  const pith_graph &graph = *w.data->graph;
  Vector<Text> dtypes, kinds, layouts, symbols;
  TRY(add_names(w, pith_format_dtype_name, UINT32_MAX, &dtypes));
  TRY(add_names(w, pith_format_kind_name, UINT32_MAX, &kinds));
  TRY(add_names(w, pith_format_layout_name, count_layouts(graph), &layouts));
  TRY(add_texts(w, graph.symbols, graph.symbol_count, &symbols));
  fb::Offset<pf::Tensor> *tensors;
  TRY(new_array(w, graph.tensor_count, &tensors));
  for (uint32_t i = 0; i < graph.tensor_count; i++)
    TRY(add_tensor(w, graph.tensors[i], tensor_segments[i], &tensors[i]));
  fb::Offset<pf::Node> *nodes;
  TRY(new_array(w, graph.node_count, &nodes));
  for (uint32_t i = 0; i < graph.node_count; i++)
    TRY(add_node(w, graph.nodes[i], &nodes[i]));
  fb::Offset<pf::Operator> operators[PITH_OP_COUNT];
  for (uint32_t i = 0; i < w.operator_count; i++) {
    const Text domain = add_shared(w, w.operators[i]->domain);
    operators[i] = pf::CreateOperator(*w.builder, domain, add_shared(w, w.operators[i]->name),
                                      w.operators[i]->version);
  }
  const Text name = add_text(w, graph.name);
  const Vector<fb::Offset<pf::Operator>> operator_vector = w.builder->CreateVector(operators, w.operator_count);
  const Vector<fb::Offset<pf::Tensor>> tensor_vector = w.builder->CreateVector(tensors, graph.tensor_count);
  const Vector<fb::Offset<pf::Node>> node_vector = w.builder->CreateVector(nodes, graph.node_count);
  const Vector<uint32_t> inputs = w.builder->CreateVector(graph.inputs, graph.input_count);
  const Vector<uint32_t> outputs = w.builder->CreateVector(graph.outputs, graph.output_count);
  *out = pf::CreateGraph(*w.builder, name, symbols, dtypes, kinds, layouts, operator_vector, tensor_vector,
                         node_vector, inputs, outputs);
  return PITH_OK;
}

// ---- the rest -----------------------------------------------------------------------------------------------------

fb::Offset<pf::Tokenizer> add_tokenizer(Writer &w, const pith_tokenizer_data &t) {
  fb::FlatBufferBuilder &b = *w.builder;
  const Text kind = add_shared(w, pith_format_tokenizer_name(static_cast<size_t>(t.kind)));
  const Text pre_tokenizer = add_shared(w, pith_format_pre_tokenize_name(t.pre_tokenizer));
  Text steps[PITH_NORMALIZE_MAX_STEPS];
  uint32_t step_count = 0;
  for (uint32_t rest = t.normalizer; rest != 0; rest >>= PITH_NORMALIZE_BITS)
    steps[step_count++] = add_shared(w, pith_format_normalize_name(rest & ((1u << PITH_NORMALIZE_BITS) - 1)));
  const Vector<Text> normalizer = b.CreateVector(steps, step_count);
  const Text prefix = add_text(w, t.continuing_prefix);
  const Vector<uint32_t> token_starts = b.CreateVector(t.token_starts, t.token_start_count);
  const Vector<uint8_t> token_lengths = b.CreateVector(t.token_lengths, pith_token_blocks_round(t.token_count));
  const Vector<uint8_t> token_text =
      b.CreateVector(reinterpret_cast<const uint8_t *>(t.token_text), size_t{t.token_text_bytes});
  const Vector<uint32_t> index = b.CreateVector(t.index, t.index_count);
  const Vector<uint32_t> merges = b.CreateVector(t.merges, t.merge_word_count);
  const Vector<const pf::AddedToken *> added =
      b.CreateVectorOfStructs(reinterpret_cast<const pf::AddedToken *>(t.added), t.added_count);
  const Vector<uint8_t> added_text =
      b.CreateVector(reinterpret_cast<const uint8_t *>(t.added_text), size_t{t.added_text_bytes});
  const Vector<const pf::TemplatePiece *> single_template = b.CreateVectorOfStructs(
      reinterpret_cast<const pf::TemplatePiece *>(t.single_template), t.single_count);
  const Vector<const pf::TemplatePiece *> pair_template =
      b.CreateVectorOfStructs(reinterpret_cast<const pf::TemplatePiece *>(t.pair_template), t.pair_count);
  return pf::CreateTokenizer(b, kind, t.flags, normalizer, pre_tokenizer, t.unk_id, t.cls_id, t.sep_id, t.pad_id, t.mask_id,
                             t.max_word_chars, prefix, t.token_count, token_starts, token_lengths, token_text, index, merges, added,
                             added_text, single_template, pair_template);
}

pith_status add_segments(Writer &w, uint32_t count, const pith_format_segment *segments,
                         Vector<fb::Offset<pf::Segment>> *out) {
  fb::Offset<pf::Segment> *offsets;
  TRY(new_array(w, count, &offsets));
  for (uint32_t i = 0; i < count; i++) {
    const pf::Hash hash(fb::make_span(segments[i].hash));
    offsets[i] = pf::CreateSegment(*w.builder, segments[i].offset, segments[i].bytes, &hash);
  }
  *out = w.builder->CreateVector(offsets, count);
  return PITH_OK;
}

pith_status add_records(Writer &w, Vector<fb::Offset<pf::HistoryEntry>> *out_history,
                        Vector<fb::Offset<pf::ReportEntry>> *out_report) {
  const pith_model_data &data = *w.data;
  fb::Offset<pf::HistoryEntry> *history;
  TRY(new_array(w, data.history_count, &history));
  for (uint32_t i = 0; i < data.history_count; i++) {
    const Text step = add_text(w, data.history[i].step), version = add_text(w, data.history[i].version);
    history[i] = pf::CreateHistoryEntry(*w.builder, step, version, add_text(w, data.history[i].json));
  }
  fb::Offset<pf::ReportEntry> *report;
  TRY(new_array(w, data.report_count, &report));
  for (uint32_t i = 0; i < data.report_count; i++) {
    const Text task = add_text(w, data.report[i].task), metric = add_text(w, data.report[i].metric);
    report[i] = pf::CreateReportEntry(*w.builder, task, metric, data.report[i].value, data.report[i].samples);
  }
  *out_history = w.builder->CreateVector(history, data.history_count);
  *out_report = w.builder->CreateVector(report, data.report_count);
  return PITH_OK;
}

pith_status add_model(Writer &w, uint32_t segment_count, const pith_format_segment *segments,
                      const uint32_t *tensor_segments) {
  const pith_model_data &data = *w.data;
  Vector<fb::Offset<pf::Segment>> segment_vector;
  TRY(add_segments(w, segment_count, segments, &segment_vector));
  fb::Offset<pf::Graph> graph;
  TRY(add_graph(w, tensor_segments, &graph));
  Vector<Text> labels;
  TRY(add_texts(w, data.labels, data.label_count, &labels));
  Vector<fb::Offset<pf::HistoryEntry>> history;
  Vector<fb::Offset<pf::ReportEntry>> report;
  TRY(add_records(w, &history, &report));
  const fb::Offset<pf::Tokenizer> tokenizer = data.tokenizer == nullptr ? 0 : add_tokenizer(w, *data.tokenizer);
  const Text producer = add_text(w, "pith " PITH_VERSION);
  const Text architecture = add_text(w, data.architecture);
  const Text task = add_shared(w, pith_format_task_name(static_cast<size_t>(data.task)));
  const Text config = add_text(w, data.config_json);
  const pf::Hash no_hash;
  pf::FinishSizePrefixedModelBuffer(
      *w.builder, pf::CreateModel(*w.builder, PITH_FORMAT_MAJOR, PITH_FORMAT_MINOR, 0, producer, &no_hash,
                                  segment_vector, graph, architecture, task, labels, data.max_length,
                                  data.hidden_size, tokenizer, config, history, report));
  return PITH_OK;
}

} // namespace

extern "C" pith_status pith_format_build_metadata(const pith_model_data *data, uint32_t segment_count,
                                                  const pith_format_segment *segments,
                                                  const uint32_t *tensor_segments,
                                                  uint32_t first_copy_segment, pith_arena *arena,
                                                  pith_format_buffer *out_buffer, pith_error *error) {
  const uint64_t bound = bound_bytes(*data, segment_count);
  if (bound >= FLATBUFFERS_MAX_BUFFER_SIZE)
    return pith_fail(error, PITH_LIMIT, "the model's metadata may take %llu bytes: at most 2 GiB are possible",
                     static_cast<unsigned long long>(bound));
  pith_format_buffer buffer = {};
  buffer.memory_bytes = static_cast<size_t>(bound);
  buffer.memory = pith_allocate(nullptr, buffer.memory_bytes);
  if (buffer.memory == nullptr)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "out of memory for %zu bytes of metadata", buffer.memory_bytes);
  Block block(buffer.memory);
  fb::FlatBufferBuilder builder(buffer.memory_bytes, &block, false);
  Writer w = {};
  w.data = data;
  w.builder = &builder;
  w.arena = arena;
  w.error = error;
  w.next_copy_segment = first_copy_segment;
  pith_status status = new_array(w, PITH_OP_COUNT, &w.operators);
  if (status == PITH_OK)
    status = add_model(w, segment_count, segments, tensor_segments);
  if (status != PITH_OK) {
    pith_release(nullptr, buffer.memory, buffer.memory_bytes);
    return status;
  }
  buffer.bytes = builder.GetBufferPointer();
  buffer.size = builder.GetSize();
  const pf::Hash *hash = pf::GetSizePrefixedModel(buffer.bytes)->hash();
  buffer.hash_offset = static_cast<size_t>(hash->bytes()->Data() - buffer.bytes);
  *out_buffer = buffer;
  return PITH_OK;
}
