// Reads schemas into nodes. Breadth first, without recursion: a schema may be nested as deep as it likes. Private to schema/.
#pragma once
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "schema/documents.hpp"
#include "schema/node.hpp"

namespace ballast::schema {

class Compiler {
 public:
  explicit Compiler(const CompileOptions& options) : options_(options), documents_(options) {}
  Result<std::shared_ptr<const Program>> run(const json::value& schema);

 private:
  // One schema being read: its node is put into the program when all its keywords are.
  struct Site {
    PlaceId place;
    Dialect dialect;
    const json::object& object;
    Node node;

    ArrayRules& array() { return made(node.array); }
    ObjectRules& members() { return made(node.object); }
    StringRules& string() { return made(node.string); }
    NumberRules& number() { return made(node.number); }
    InPlaceRules& in_place() { return made(node.in_place); }
    template <class T>
    static T& made(std::unique_ptr<T>& rules) {
      if (!rules) rules = std::make_unique<T>();
      return *rules;
    }
  };
  // `keyword` is a literal: nodes may keep it.
  using Read = Result<void> (Compiler::*)(Site&, std::string_view keyword, const json::value& value);
  struct Keyword;
  static const Keyword* find_keyword(std::string_view name);

  Result<Node> read_schema(PlaceId place);
  Result<void> read_member(Site& site, std::string_view keyword, const json::value& value);
  static void finish(Site& site);

  // compile_values.cpp: what looks at one value
  Result<void> read_type(Site&, std::string_view, const json::value&);
  Result<void> read_enum(Site&, std::string_view, const json::value&);
  Result<void> read_const(Site&, std::string_view, const json::value&);
  Result<void> read_bound(Site&, std::string_view, const json::value&);
  Result<void> read_multiple(Site&, std::string_view, const json::value&);
  Result<void> read_count(Site&, std::string_view, const json::value&);
  Result<void> read_pattern(Site&, std::string_view, const json::value&);
  Result<void> read_format(Site&, std::string_view, const json::value&);
  Result<void> read_unique(Site&, std::string_view, const json::value&);
  Result<void> read_required(Site&, std::string_view, const json::value&);
  Result<void> read_dependent_required(Site&, std::string_view, const json::value&);
  Result<void> make_values(Site&, std::string_view, std::unique_ptr<ValueRules>&, std::vector<json::value>);

  // compile_applicators.cpp: what applies other schemas
  Result<void> read_properties(Site&, std::string_view, const json::value&);
  Result<void> read_patterns(Site&, std::string_view, const json::value&);
  Result<void> read_one(Site&, std::string_view, const json::value&);
  Result<void> read_list(Site&, std::string_view, const json::value&);
  Result<void> read_items(Site&, std::string_view, const json::value&);
  Result<void> read_additional_items(Site&, std::string_view, const json::value&);
  Result<void> read_dependent_schemas(Site&, std::string_view, const json::value&);
  Result<void> read_dependencies(Site&, std::string_view, const json::value&);
  Result<void> read_reference(Site&, std::string_view, const json::value&);
  Result<void> read_dynamic_reference(Site&, std::string_view, const json::value&);

  std::unexpected<Error> refuse(const Site& site, std::string_view keyword, std::string why, ErrorCode code = ErrorCode::caller_invalid_request) const;
  Result<Pattern> make_pattern(const Site& site, std::string_view keyword, std::string_view text) const;
  // The node of a schema below; `step` ("/name" or nothing) is what follows the keyword.
  Result<NodeId> child(Site& site, std::string_view keyword, const json::value& schema, std::string_view step = {});
  Result<NodeId> node_of(PlaceId place);
  Result<void> drain();
  Result<void> resolve_dynamic_names();
  Result<void> refuse_endless(const Program& program) const;

  const CompileOptions& options_;
  Documents documents_;
  std::vector<Node> nodes_;
  std::vector<PlaceId> places_;  // of each node
  std::unordered_map<PlaceId, NodeId> by_place_;
  std::size_t read_ = 0;         // nodes whose schema has been read
  std::vector<std::string> dynamic_names_;
  std::vector<DynamicName> dynamic_;
};

}  // namespace ballast::schema
