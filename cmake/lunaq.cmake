# How every target of ours is built, in one place.

add_library(lunaq_warnings INTERFACE)
target_compile_options(lunaq_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla)
if(LUNAQ_WERROR)
  target_compile_options(lunaq_warnings INTERFACE -Werror)
endif()
target_compile_definitions(lunaq_warnings INTERFACE _GNU_SOURCE)

if(LUNAQ_SANITIZE STREQUAL "address")
  set(lunaq_sanitize -fsanitize=address,undefined -fno-sanitize-recover=undefined
                     -fno-omit-frame-pointer)
elseif(LUNAQ_SANITIZE STREQUAL "thread")
  set(lunaq_sanitize -fsanitize=thread -fno-omit-frame-pointer)
  set(lunaq_program $<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>)
  target_sources(lunaq_warnings INTERFACE
    $<${lunaq_program}:${PROJECT_SOURCE_DIR}/tests/support/tsan_longjmp.c>)
  target_link_options(lunaq_warnings INTERFACE
    $<${lunaq_program}:-Wl,--export-dynamic-symbol=__longjmp_chk>)
elseif(LUNAQ_SANITIZE)
  message(FATAL_ERROR "LUNAQ_SANITIZE is '${LUNAQ_SANITIZE}'; known: address, thread")
endif()
if(lunaq_sanitize)
  target_compile_options(lunaq_warnings INTERFACE ${lunaq_sanitize})
  target_link_options(lunaq_warnings INTERFACE ${lunaq_sanitize})
endif()

# lunaq_layer(NAME SOURCES … USES layer … LINKS library …)
#
# A layer is an object library that sees its own folder's parent for includes
# ("base/buf.h") only through the layers it names: each layer gets a folder with
# a single link to itself, so that an include of a layer it does not use fails
# to compile.
function(lunaq_layer name)
  cmake_parse_arguments(arg "" "FOLDER" "SOURCES;USES;LINKS" ${ARGN})
  if(NOT arg_FOLDER)
    set(arg_FOLDER ${name})
  endif()
  set(gate ${PROJECT_BINARY_DIR}/layers/${name})
  file(MAKE_DIRECTORY ${gate})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${gate}/${arg_FOLDER} SYMBOLIC)

  if(arg_SOURCES)
    set(scope PUBLIC)
    add_library(lunaq_${name} OBJECT ${arg_SOURCES})
    target_link_libraries(lunaq_${name} PRIVATE lunaq_warnings ${arg_LINKS})
  else()
    set(scope INTERFACE) # headers only
    add_library(lunaq_${name} INTERFACE)
  endif()
  target_include_directories(lunaq_${name} ${scope} ${gate}
                             ${PROJECT_SOURCE_DIR}/core/include)
  foreach(used IN LISTS arg_USES)
    target_include_directories(lunaq_${name} ${scope}
      $<TARGET_PROPERTY:lunaq_${used},INTERFACE_INCLUDE_DIRECTORIES>)
  endforeach()
endfunction()
