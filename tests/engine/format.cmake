# The .pith file, and what engine/base has for files.
function(pith_format_test name)
  pith_test(${name} ${name}.c format_fixture.c ir_fixture.c LIBS pith_format_writer pith_engine pith_ops)
endfunction()

pith_format_test(format_round_trip)
pith_format_test(format_hostile)
