# The graph: operators, builder, verifier, printing.
function(pith_ir_test name)
  pith_test(${name} ${name}.c ir_fixture.c LIBS pith_engine pith_ops ${PTHREADPOOL_LIBRARY} Threads::Threads)
endfunction()

pith_ir_test(ir_graph)
pith_ir_test(ir_infer)
pith_ir_test(ir_verify)
pith_ir_test(ir_pattern)
pith_ir_test(ir_print)
pith_ir_test(ir_hostile)

# docs/operators.md is what the tables print; with PITH_REWRITE_DOCS=1 the test writes it.
pith_test(ir_docs ir_docs.c ir_fixture.c LIBS pith_compress)
target_compile_definitions(ir_docs PRIVATE PITH_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
