import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.spec.EdECPrivateKeySpec;
import java.security.spec.NamedParameterSpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.xml.crypto.OctetStreamData;
import javax.xml.crypto.dsig.CanonicalizationMethod;
import javax.xml.crypto.dsig.TransformService;
import javax.xml.crypto.dsig.spec.TransformParameterSpec;

/**
 * Makes the vectors of this folder with the JDK's own canonicaliser and Ed25519: nothing of swexchange is used.
 *
 * NAME.in.xml and NAME.c14n: a document and its exclusive canonical form.
 * NAME.signed.xml: the same document with an enveloped signature by the key of seed 000102..1f, key id "jdk".
 *
 * Run by hand with JDK 17 or later, in this folder: java Generate.java
 */
public class Generate {
    static final String SEED = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    static final String DSIG = "http://www.w3.org/2000/09/xmldsig#";

    public static void main(String[] arguments) throws Exception {
        for (Map.Entry<String, String> document : documents().entrySet()) {
            String name = document.getKey();
            byte[] canonical = canonical(utf8(document.getValue()));
            write(name + ".in.xml", utf8(document.getValue()));
            write(name + ".c14n", canonical);
            for (Form form : Form.values()) {
                write(name + "." + form + ".signed.xml", signed(new String(canonical, StandardCharsets.UTF_8), form));
            }
        }
    }

    /** How the signature is written: all are the same XMLDSig. */
    enum Form {
        prefixed("ds:", " xmlns:ds=\"" + DSIG + "\"", ""),
        unprefixed("", " xmlns=\"" + DSIG + "\"", ""),
        indented("sig:", " xmlns:sig=\"" + DSIG + "\"", "\n    ");

        final String prefix, namespace, space;

        Form(String prefix, String namespace, String space) {
            this.prefix = prefix;
            this.namespace = namespace;
            this.space = space;
        }

        String element(String name, String attributes, String content) {
            return "<" + prefix + name + attributes + ">" + content + "</" + prefix + name + ">";
        }

        String method(String name, String algorithm) {
            return element(name, " Algorithm=\"" + algorithm + "\"", "") + space;
        }
    }

    static byte[] signed(String wire, Form form) throws Exception {
        String digest = base64(MessageDigest.getInstance("SHA-256").digest(utf8(wire)));
        String transforms = form.space
                + form.method("Transform", DSIG + "enveloped-signature")
                + form.method("Transform", CanonicalizationMethod.EXCLUSIVE);
        String reference = form.space
                + form.element("Transforms", "", transforms) + form.space
                + form.method("DigestMethod", "http://www.w3.org/2001/04/xmlenc#sha256")
                + form.element("DigestValue", "", digest) + form.space;
        String content = form.space
                + form.method("CanonicalizationMethod", CanonicalizationMethod.EXCLUSIVE)
                + form.method("SignatureMethod", "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519")
                + form.element("Reference", " URI=\"\"", reference) + form.space;
        byte[] signedInfo = canonical(utf8(form.element("SignedInfo", form.namespace, content)));
        String signature = form.element("Signature", form.namespace,
                form.element("SignedInfo", "", content)
                + form.element("SignatureValue", "", base64(sign(signedInfo)))
                + form.element("KeyInfo", "", form.element("KeyName", "", "jdk")));
        int end = wire.lastIndexOf("</");
        byte[] result = utf8(wire.substring(0, end) + signature + wire.substring(end));
        if (!Arrays.equals(result, canonical(result))) {
            throw new IllegalStateException("the signed document is not canonical");
        }
        return result;
    }

    static byte[] canonical(byte[] document) throws Exception {
        TransformService c14n = TransformService.getInstance(CanonicalizationMethod.EXCLUSIVE, "DOM");
        c14n.init((TransformParameterSpec) null);
        OctetStreamData result = (OctetStreamData) c14n.transform(
                new OctetStreamData(new ByteArrayInputStream(document)), null);
        return result.getOctetStream().readAllBytes();
    }

    static byte[] sign(byte[] message) throws Exception {
        PrivateKey key = KeyFactory.getInstance("Ed25519").generatePrivate(
                new EdECPrivateKeySpec(NamedParameterSpec.ED25519, HexFormat.of().parseHex(SEED)));
        Signature signature = Signature.getInstance("Ed25519");
        signature.initSign(key);
        signature.update(message);
        return signature.sign();
    }

    static Map<String, String> documents() {
        Map<String, String> documents = new LinkedHashMap<>();
        documents.put("envelope", """
                <?xml version='1.0' encoding='UTF-8'?>
                <DxpMsg  ver = '1.0'
                   xmlns="http://www.chinaport.gov.cn/dxp" >
                  <TransInfo>
                    <CopMsgId>A&amp;B &lt;1&gt; "q" 'a' ]]&gt;</CopMsgId><SenderId>DXPENT0000012345</SenderId>
                    <ReceiverIds><ReceiverId>DXPEDCDEC0000001</ReceiverId></ReceiverIds>
                    <CreatTime>2026-03-02T09:29:58+08:00</CreatTime><MsgType/>
                  </TransInfo>
                  <Data>PGEvPg==</Data>
                  <AddInfo><FileName>\u6df1\u5733 \ud840\udc00 &#x4e2d; tab\tcr&#13;end</FileName><IsText Encode='&#71;B&quot;2312&#9;&#10;&#13;&lt;>'/></AddInfo>
                </DxpMsg>
                """);
        documents.put("namespaces", """
                <a:root xmlns:a="urn:a" xmlns:b="urn:b" xmlns:unused="urn:unused" b:z="1" a:y="2" c="3" xmlns="urn:default"
                  ><inner xmlns:b="urn:b"><b:leaf xmlns:b="urn:other" b:at="&gt;"/><plain xmlns=""><b:x xmlns:b="urn:b"/></plain
                  ></inner><a:same xmlns:a="urn:a"/><xml xml:lang="zh" xml:space="preserve"> </xml></a:root>
                """);
        documents.put("text", """
                <t z="1" a='x"y'><![CDATA[<cdata> & ]]>&#xA0;\u3000\u200b\ufeff|&#x10FFFF;|&#xD;\n\t<e   /><e></e
                ></t>""");
        return documents;
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String base64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    static void write(String name, byte[] bytes) throws Exception {
        Files.write(Path.of(name), bytes);
    }
}
