# Lowering, executor, sessions.
function(pith_exec_test name)
  pith_test(${name} ${name}.c exec_fixture.c integer_fixture.c ir_fixture.c sparse_fixture.c
            LIBS pith_engine pith_ops ${PTHREADPOOL_LIBRARY} Threads::Threads ${ARGN})
endfunction()

pith_exec_test(exec_operators)
pith_exec_test(exec_quantize)
pith_exec_test(base_memory)
pith_exec_test(usable_cpus)
pith_exec_test(exec_hostile)
pith_exec_test(lower_rewrites)
pith_exec_test(lower_extension)
pith_exec_test(lower_plan)
pith_exec_test(lower_integer)
pith_exec_test(lower_layouts)
pith_exec_test(lower_sparse)
pith_exec_test(session_run)
pith_exec_test(session_memory "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign")
pith_exec_test(session_threads)

# A real model, imported: what the tests of the importer share.
pith_test(session_minilm session_minilm.c ../compiler/minilm_fixture.c ../compiler/import_fixture.c
          LIBS pith_compiler pith_models pith_format_writer pith_engine pith_ops PkgConfig::UTF8PROC
               ${PTHREADPOOL_LIBRARY} Threads::Threads)
target_compile_definitions(session_minilm PRIVATE PITH_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
