// The tree behind ConfigNode, private to base: what the YAML parser leaves, plus what has been asked for and complained about.
#pragma once
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/config_node.hpp"

namespace ballast {

struct ConfigNode::Item {
  enum class Kind : unsigned char { absent, null, scalar, list, map };
  struct Member {
    std::string key;
    int line, column;  // of the key
    Item* item;
  };
  Kind kind = Kind::absent;
  bool plain = true;                                     // a scalar without quotes or tag
  std::string text;                                      // a scalar, its ${…} still masked
  std::string path;
  int line = 1, column = 1;
  std::vector<Member> members;                           // map, in file order
  std::vector<Item*> elements;                           // list
  std::vector<std::string> asked;                        // keys that someone asked for
  std::vector<std::pair<std::string, Item*>> missing;    // absent members handed out
  bool all_known = false;
};

// A ${…} of the text. Before parsing each is replaced by a mask of the same length (\x01, two digits, padding), because braces,
// commas and colons would mean something to YAML, and because a value must never change the structure.
struct Substitution {
  std::string source;                                    // "${NAME:-default}", or "$${"
  std::string name;                                      // empty: a literal "${"
  std::optional<std::string> fallback;
};

struct ConfigNode::Document {
  struct Problem {
    int line, column;
    std::string path, text;                              // what the value at `path` does wrong: "must be a map"
  };
  std::string file;
  EnvLookup environment;
  std::vector<Substitution> substitutions;
  std::deque<Item> items;                                // stable addresses
  std::vector<Problem> problems;

  void complain(int line, int column, std::string path, std::string text);
  Item* absent(const Item& parent, std::string_view key);
  // `text` with its masks replaced; nothing, and a problem, when a name is unset. `substituted` says whether any was.
  std::optional<std::string> expand(const Item& at, std::string_view text, bool& substituted);
  std::string unmask(std::string_view text) const;       // back to the source, for keys
};

}  // namespace ballast
