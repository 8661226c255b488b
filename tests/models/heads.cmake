# Task heads, metrics, task data.
pith_test(test_metrics test_metrics.c LIBS pith_compress PkgConfig::CJSON)
target_compile_definitions(test_metrics PRIVATE PITH_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
pith_test(test_dataset test_dataset.c LIBS pith_compress PkgConfig::CJSON)
pith_test(test_heads test_heads.c LIBS pith_compress PkgConfig::CJSON Threads::Threads)
target_compile_definitions(test_heads PRIVATE PITH_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
pith_test(test_evaluate test_evaluate.c LIBS pith_compress PkgConfig::CJSON Threads::Threads)
target_compile_definitions(test_evaluate PRIVATE PITH_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
