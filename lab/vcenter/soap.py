"""Decides how a vSphere call, its answer and its fault look on the wire, by pyVmomi's own types."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from pyVmomi import vmodl
from pyVmomi.SoapAdapter import (
    NS_SEP,
    SOAP_END,
    SOAP_NSMAP,
    SOAP_START,
    XML_HEADER,
    XMLNS_SOAPENV,
    ExpatDeserializerNSHandlers,
    GetHandlers,
    SerializeFaultDetail,
    SerializeToStr,
    SetHandlers,
    SoapDeserializer,
    XmlEscape,
)
from pyVmomi.VmomiSupport import (
    F_OPTIONAL,
    XMLNS_VMODL_BASE,
    DataObject,
    GetVersionFromVersionUri,
    GetWsdlMethod,
    GetWsdlName,
    ManagedObject,
    Object,
)

API_VERSION = "8.0.3.0"
VERSION = GetVersionFromVersionUri(f"urn:vim25/{API_VERSION}")

_THIS = Object(name="_this", type=ManagedObject, version=VERSION, flags=0)
_PROP = Object(name="prop", type=str, version=VERSION, flags=0)
# Every managed object answers Fetch, which pyVmomi's attribute access calls and no type's metadata lists.
FETCH = Object(name="Fetch", wsdlName="Fetch", type=ManagedObject, params=(_PROP,), privId=None, result=object)
_NAMESPACES = {**SOAP_NSMAP, XMLNS_VMODL_BASE: ""}


@dataclass(frozen=True)
class Request:
    """One call as the client wrote it: `method` is pyVmomi's metadata, `arguments` are by its parameters' names."""

    this: ManagedObject
    method: Any
    arguments: dict[str, Any]
    version: str


def version_of(action: str) -> str:
    """The API version that a SOAPAction header ("urn:vim25/8.0.3.0") names; the server's own where it names none."""
    try:
        return str(GetVersionFromVersionUri(action.strip('"')))
    except KeyError:
        return str(VERSION)


def decode(body: bytes, version: str) -> Request:
    """Reads a SOAP envelope. Raises vmodl.fault.InvalidRequest where it is not one, or calls what does not exist."""
    reader = _Envelope()
    try:
        reader.parser.Parse(body, True)
        arguments = reader.deserializer.GetResult() if reader.deserializer else None
    except (ExpatError, TypeError, AttributeError, KeyError, ValueError) as problem:
        raise vmodl.fault.InvalidRequest(msg=f"the request cannot be read: {problem}") from None
    if arguments is None or arguments._this is None:
        raise vmodl.fault.InvalidRequest(msg="the request has no method or no object")
    values = {param.name: getattr(arguments, param.name) for param in reader.method.params}
    for param in reader.method.params:
        if values[param.name] is None and not param.flags & F_OPTIONAL:
            raise vmodl.fault.InvalidArgument(msg=f"{param.name} is missing", invalidProperty=param.name)
    return Request(arguments._this, reader.method, values, version)


def encode_reply(method: str, declared: type, value: Any, version: str) -> bytes:
    """The envelope of an answer; `declared` is the type that the client expects, None or an empty list leave it out."""
    info = Object(name="returnval", type=declared, version=version, flags=F_OPTIONAL)
    content = SerializeToStr(value, info, version, _NAMESPACES)
    return _envelope(f'<{method}Response xmlns="{XMLNS_VMODL_BASE}">{content}</{method}Response>')


def encode_fault(fault: Any, version: str) -> bytes:
    """The envelope of a fault, which pyVmomi raises as the exception it is."""
    name = f"{GetWsdlName(type(fault))}Fault"
    info = Object(name=name, type=object, version=version, flags=0)
    bare = copy.copy(fault)  # the message travels outside of the detail
    bare.msg = None
    # The serialiser takes it for granted that the namespace has been declared around the detail.
    detail = SerializeFaultDetail(bare, info, version, _NAMESPACES).replace(
        f"<{name}", f'<{name} xmlns="{XMLNS_VMODL_BASE}"', 1
    )
    return _envelope(
        f"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{XmlEscape(fault.msg or '')}</faultstring>"
        f"<detail>{detail}</detail></soapenv:Fault>"
    )


def _envelope(body: str) -> bytes:
    return f"{XML_HEADER}\n{SOAP_START}{body}{SOAP_END}".encode()


class _Envelope(ExpatDeserializerNSHandlers):
    """pyVmomi's SoapResponseDeserializer the other way round: hands the method's element to the SoapDeserializer."""

    def __init__(self) -> None:
        ExpatDeserializerNSHandlers.__init__(self)
        self.path: list[str] = []
        self.method: Any = None
        self.deserializer: Any = None
        self.parser: Any = ParserCreate(namespace_separator=NS_SEP)
        self.parser.buffer_text = True
        SetHandlers(self.parser, GetHandlers(self))

    def StartElementHandler(self, tag: str, attributes: dict[str, str]) -> None:
        if self.path[-1:] != [f"{XMLNS_SOAPENV}{NS_SEP}Body"] or self.deserializer:
            self.path.append(tag)
            return
        namespace, _, name = tag.rpartition(NS_SEP)
        self.method = FETCH if name == "Fetch" else GetWsdlMethod(namespace, name).info
        self.deserializer = SoapDeserializer()
        self.deserializer.Deserialize(self.parser, _arguments_type(self.method), False, self.nsMap)
        self.deserializer.StartElementHandler(tag, attributes)

    def EndElementHandler(self, tag: str) -> None:
        self.path.pop()

    def CharacterDataHandler(self, data: str) -> None:
        """Text between elements means nothing."""


@cache
def _arguments_type(method: Any) -> type:
    """A data type whose properties are the method's parameters, so that pyVmomi reads a call as it reads a value."""
    properties = [_THIS, *method.params]
    return type(
        f"{method.wsdlName}Arguments",
        (DataObject,),
        {
            "_wsdlName": method.wsdlName,
            "_propList": properties,
            "_propInfo": {info.name: info for info in properties},
        },
    )
