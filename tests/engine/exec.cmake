# Lowering, executor, sessions.
function(pith_exec_test name)
  pith_test(${name} ${name}.c exec_fixture.c ir_fixture.c
            LIBS pith_engine pith_ops ${PTHREADPOOL_LIBRARY} Threads::Threads ${ARGN})
endfunction()

pith_exec_test(lower_rewrites)
