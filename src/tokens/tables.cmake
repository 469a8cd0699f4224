# The tokenizers' tables: packed by a small program out of the ranks (tools/ranks.sh) and the classes of code points, embedded by tables.cpp.
set(BALLAST_RANKS_DIR "${CMAKE_SOURCE_DIR}/build/ranks")
set(BALLAST_TABLES "${CMAKE_BINARY_DIR}/generated/tokens")
file(MAKE_DIRECTORY "${BALLAST_TABLES}")
add_executable(tokens_pack tokens/pack/main.cpp)
target_include_directories(tokens_pack PRIVATE "${CMAKE_SOURCE_DIR}/src")
target_compile_options(tokens_pack PRIVATE -O2)  # in every kind of build: it packs for seconds otherwise

function(ballast_table what source name)
  add_custom_command(OUTPUT "${BALLAST_TABLES}/${name}.bin" DEPENDS tokens_pack "${source}" VERBATIM
                     COMMAND tokens_pack ${what} "${source}" "${BALLAST_TABLES}/${name}.bin" COMMENT "Packing ${name}")
  set_property(SOURCE tokens/tables.cpp APPEND PROPERTY OBJECT_DEPENDS "${BALLAST_TABLES}/${name}.bin")
endfunction()

foreach(encoding o200k_base cl100k_base)
  if(NOT EXISTS "${BALLAST_RANKS_DIR}/${encoding}.tiktoken")
    message(FATAL_ERROR "${BALLAST_RANKS_DIR}/${encoding}.tiktoken is not there. Run tools/ranks.sh once (it says what it needs), or build with tools/build.sh, which does.")
  endif()
  ballast_table(ranks "${BALLAST_RANKS_DIR}/${encoding}.tiktoken" ${encoding})
endforeach()
ballast_table(classes "${CMAKE_SOURCE_DIR}/src/tokens/data/unicode_classes.txt" unicode_classes)
set_property(SOURCE tokens/tables.cpp APPEND PROPERTY COMPILE_DEFINITIONS
             "BALLAST_O200K=\"${BALLAST_TABLES}/o200k_base.bin\"" "BALLAST_CL100K=\"${BALLAST_TABLES}/cl100k_base.bin\""
             "BALLAST_CLASSES=\"${BALLAST_TABLES}/unicode_classes.bin\"")
set_source_files_properties(tokens/tables.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
