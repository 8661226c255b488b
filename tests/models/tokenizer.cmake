# Tokenizers. The wrapped functions count allocations and make them fail.
pith_test(test_tokenizer test_tokenizer.c LIBS pith_compress PkgConfig::CJSON)
target_compile_definitions(test_tokenizer PRIVATE PITH_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_link_options(test_tokenizer PRIVATE -Wl,--wrap=malloc -Wl,--wrap=posix_memalign)

pith_test(test_key_table test_key_table.c LIBS pith_compress)

add_executable(tokenize_driver tokenize_driver.c)
target_link_libraries(tokenize_driver PRIVATE pith_flags pith_compress)

pith_test(test_encode_batch test_encode_batch.c LIBS pith_compress Threads::Threads)
target_compile_definitions(test_encode_batch PRIVATE PITH_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_link_options(test_encode_batch PRIVATE -Wl,--wrap=posix_memalign)
