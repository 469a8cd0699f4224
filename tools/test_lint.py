"""The lint finds what it says it finds, and leaves good code alone."""
import lint


def what(file, text):
    return [f.what for f in lint.check(file, text)]


def test_floors():
    assert what("src/gateway/a.cpp", '#include "llm/types.hpp"\n#include "gateway/b.hpp"\n#include <vector>\n') == []
    assert "higher floor" in what("src/llm/a.cpp", '#include "gateway/call.hpp"\n')[0]
    assert "sibling" in what("src/net/a.hpp", '#include "store/database.hpp"\n')[0]
    finding = lint.check("src/base/a.cpp", '#include <map>\n#include "app/cli.hpp"\n')[0]
    assert (finding.file, finding.line) == ("src/base/a.cpp", 2)


def test_third_party_rooms():
    assert what("src/store/sqlite/driver.cpp", "#include <sqlite3.h>\n") == []
    assert "not this room's" in what("src/records/ledger.cpp", "#include <sqlite3.h>\n")[0]
    assert what("src/net/loop.cpp", "#include <sys/epoll.h>\n") == []
    assert "leaks" in what("src/net/loop.hpp", "// Event loops.\n#include <sys/epoll.h>\n")[0]
    assert what("src/net/core.hpp", "// Private to net/: sockets.\n#include <sys/epoll.h>\n") == []
    assert what("src/base/config_node.cpp", "#include <yaml-cpp/yaml.h>\n") == []
    assert what("src/app/config.cpp", "#include <yaml-cpp/yaml.h>\n") != []
    assert what("tests/fuzz/http.cpp", "#include <boost/beast/http.hpp>\n") == []


def test_file_size():
    assert what("src/base/a.hpp", "\n" * 600) == []
    assert what("src/base/a.hpp", "\n" * 601) != []


def body(lines):
    return "int f(int a) {\n" + "  a += 1;\n" * lines + "  return a;\n}\n"


def test_function_size():
    assert what("src/base/a.cpp", body(60)) == []
    assert what("src/base/a.cpp", body(80))[0].startswith("f has 83 lines")
    assert what("src/base/a.cpp", "namespace x {\nclass A {\n" + " int b();\n" * 90 + "};\n}\n") == []
    assert what("src/base/a.cpp", "Task<void> T::go(int a) const noexcept {\n" + "x();\n" * 80 + "}\n")[0].startswith("T::go")


def test_braces_in_text_do_not_count():
    text = 'const char* s = "{";  // {\n/* {\n */ auto r = R"({{{)";\nchar c = \'{\';\n' + body(10) * 8
    assert what("src/base/a.cpp", text) == []


def test_words_and_paths():
    assert what("src/base/a.cpp", "// TO" "DO later\n") != []
    assert what("docs/x.md", "see /ro" "ot/x\n") != []
    assert what("docs/x.md", "see /var/lib/ballast and https://example.com/home\n") == []
