# The .pith file, and what engine/base has for files.
function(pith_format_test name)
  pith_test(${name} ${name}.c format_fixture.c ir_fixture.c
            LIBS pith_format_writer pith_engine pith_ops ${PTHREADPOOL_LIBRARY} Threads::Threads ${ARGN})
endfunction()

foreach(name IN ITEMS file hash hostile layout round_trip share sparse)
  pith_format_test(format_${name})
endforeach()
pith_test(pack_model pack_model.c exec_fixture.c integer_fixture.c format_fixture.c ir_fixture.c
          LIBS pith_format_writer pith_engine pith_ops ${PTHREADPOOL_LIBRARY} Threads::Threads)
pith_format_test(format_model pith_compiler pith_models PkgConfig::UTF8PROC)

# libpith must not need the C++ runtime: no undefined symbol of its one C++ file is a C++ one (clang's sanitizers bring
# their own).
if(NOT PITH_SANITIZE AND NOT PITH_FUZZ)
  add_test(NAME format_reader_symbols
           COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} "-DOBJECTS=$<TARGET_OBJECTS:pith_engine>" -P
                   ${CMAKE_CURRENT_SOURCE_DIR}/format_reader_symbols.cmake)
endif()
