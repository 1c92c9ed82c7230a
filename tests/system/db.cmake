set(postgres ${PROJECT_SOURCE_DIR}/tests/support/postgres_server.c)
set(loop_world ${PROJECT_SOURCE_DIR}/tests/support/loop_world.c)
set(db_world db_world.c ${postgres} ${loop_world})
foreach(part IN ITEMS pool values tx outage memory)
  lunaq_test(test_db_${part} LABEL system SOURCES test_db_${part}.c ${db_world}
    LAYERS db loop base LINKS PkgConfig::PQ PkgConfig::SQLITE PkgConfig::UV)
endforeach()
lunaq_test(test_db_migrate LABEL system SOURCES test_db_migrate.c ${postgres}
  LAYERS db loop base LINKS PkgConfig::PQ PkgConfig::SQLITE PkgConfig::UV)
target_compile_definitions(test_db_migrate PRIVATE
  MIGRATIONS="${PROJECT_SOURCE_DIR}/migrations")
lunaq_test(test_db_sqlite LABEL system SOURCES test_db_sqlite.c ${db_world}
  LAYERS db loop base LINKS PkgConfig::PQ PkgConfig::SQLITE PkgConfig::UV)
target_compile_definitions(test_db_sqlite PRIVATE
  MIGRATIONS="${PROJECT_SOURCE_DIR}/migrations")
lunaq_test(test_db_line LABEL system SOURCES test_db_line.c ${db_world}
           ${PROJECT_SOURCE_DIR}/tests/support/temp_folder.c
  LAYERS db loop base LINKS PkgConfig::PQ PkgConfig::SQLITE PkgConfig::UV)
